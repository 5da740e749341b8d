"""The laboratory: what was trained, where it lies, and how many at once."""

try:
    import attrs as _attrs  # noqa: F401
    import joblib as _joblib  # noqa: F401
    import safetensors as _safetensors  # noqa: F401
    import tqdm as _tqdm  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"vaelib.lab needs {error.name}: pip install 'vaelib[lab]'", name=error.name
    ) from error

from .classifier import Classifier as Classifier
from .classifier import image_features as image_features
from .experiment import Experiment as Experiment
from .experiment import MissingRunError as MissingRunError
from .experiment import classifier_experiment as classifier_experiment
from .gradient import elbo_gradient as elbo_gradient
from .objective import drop_variables as drop_variables
from .objective import free_bits as free_bits
from .objective import iwae_bound as iwae_bound
from .run import Run as Run
from .run import count_active as count_active
from .run import count_used as count_used
from .run import gather as gather
from .store import DamagedRunError as DamagedRunError
from .sweep import sweep as sweep
from .training import training_threads as training_threads
