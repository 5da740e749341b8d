"""How OpenMP's threads wait for each other, settled before PyTorch starts them.

By default they spin. Beside another busy process that costs a step up to ten times its own time:
one thread waits for its core, and the other burns its own. So they give up soon. Whoever has chosen
otherwise, or has imported torch before, keeps what he has.
"""

import os
import sys

if "torch" not in sys.modules and not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "1000"
