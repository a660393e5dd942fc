from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    name="releasing",
    ext_modules=[
        Extension("releasing_c", ["releasing_c.c"], libraries=["pthread"]),
        *cythonize([Extension("releasing_cython", ["releasing_cython.pyx"])], language_level=3),
    ],
)
