"""Networks, data and training. What users need is listed in `__init__.pyi`; nothing is imported until it is used."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
