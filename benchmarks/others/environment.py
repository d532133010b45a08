"""The virtual environment of the other projects, made with pip when it is first needed."""

import hashlib
import subprocess
import sys
from pathlib import Path

__all__ = ["OTHERS", "prepare"]

_HERE = Path(__file__).resolve().parent
_HOME = _HERE.parent / ".venv"
#: Their interpreter.
OTHERS = _HOME / "bin" / "python"
_REQUIREMENTS = _HERE / "requirements.txt"
_LIMIT = 600


def prepare() -> str | None:
    """Make it unless it is there and as `requirements.txt` says; return what went wrong, if anything did."""
    wanted = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()
    stamp = _HOME / "installed"
    if stamp.exists() and stamp.read_text() == wanted and OTHERS.exists():
        return None
    print(f"Installing the other projects in {_HOME} ...", file=sys.stderr, flush=True)
    pip = [str(OTHERS), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-r", str(_REQUIREMENTS)]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(_HOME)], check=True, timeout=_LIMIT)
        subprocess.run(pip, check=True, timeout=_LIMIT)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}"
    stamp.write_text(wanted)
    return None
