"""Sphinx. Build with `spin docs`; the package must be installed."""

import stealpool

project = "stealpool"
author = "stealpool developers"
copyright = "2026, stealpool developers"
version = release = stealpool.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "news"]
nitpicky = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"stealpool {release}"
html_show_sourcelink = False
