import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["cgm", *(f"cgm.utils.{name}" for name in ("clock", "files", "memory", "progress", "seeds", "version"))]
)
def test_light_modules_do_not_import_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
