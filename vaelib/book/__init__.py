"""What chapters print: claims and their verdicts, tables, images, and the package's own source."""

try:
    import IPython  # noqa: F401
    import yaml  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"vaelib.book needs {error.name}, which is not installed: pip install 'vaelib[book]'"
    ) from error

from .claims import Claim as Claim
from .claims import claim as claim
from .claims import claim_values as claim_values
from .figures import COLOURS as COLOURS
from .figures import DIGIT_COLOURS as DIGIT_COLOURS
from .figures import show_images as show_images
from .figures import use_style as use_style
from .scoreboard import Verdict as Verdict
from .scoreboard import scoreboard as scoreboard
from .scoreboard import show_verdicts as show_verdicts
from .show import show_source as show_source
from .tables import each as each
from .tables import table as table
from .tally import show_tally as show_tally
