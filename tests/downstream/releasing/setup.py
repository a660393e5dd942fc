from Cython.Build import cythonize
from setuptools import Extension, setup

FAST = ["-O0"]  # to compile: what it does takes its time all the same

setup(
    name="releasing",
    ext_modules=[
        Extension("releasing_c", ["releasing_c.c"], libraries=["pthread"], extra_compile_args=FAST),
        *cythonize([Extension("releasing_cython", ["releasing_cython.pyx"], extra_compile_args=FAST)]),
    ],
)
