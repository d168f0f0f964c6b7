"""The verbs of the Python API, one module for each noun; `Dispatcher` is made of them."""
