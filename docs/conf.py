"""How Sphinx builds the documentation: Markdown by MyST, the furo theme, and two parts that are generated."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

project = "TracSeq Gateway"
copyright = "the TracSeq Gateway authors"
extensions = ["myst_parser", "generated"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "TracSeq Gateway"
html_copy_source = False
html_theme_options = {"source_repository": "", "navigation_with_keys": True}
