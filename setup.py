"""Which packages a wheel has; all else stands in setup.cfg."""

from setuptools import find_packages, setup

# Installed, a top-level package called `models` would hide those of other projects.
models = [f"tinygrad_cv.{package}" for package in find_packages(include=["models*"])]

setup(
    packages=find_packages(include=["tinygrad_cv*"]) + models,
    package_dir={"tinygrad_cv.models": "models"},
)
