"""Builds the extensions with planted leaks: one in C, one in Cython."""

from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    name="leaky",
    ext_modules=[
        Extension("leaky", ["leaky.c"]),
        *cythonize([Extension("leaky_cython", ["leaky_cython.pyx"])], language_level=3),
    ],
)
