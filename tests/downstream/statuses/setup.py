import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

CHECKOUT = Path(os.environ["GILPROBE_CHECKOUT"])

module = Extension(
    "statuses", ["statuses.pyx"], include_dirs=[str(CHECKOUT / "csrc")], extra_compile_args=["-O0"]
)
setup(name="statuses", ext_modules=cythonize([module], include_path=[str(CHECKOUT)]))
