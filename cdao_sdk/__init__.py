"""Put any step of a Flyte workflow on Amazon SageMaker, and run the whole thing on a laptop."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (lazy-loader has no types)
import lazy_loader as _lazy

# The public names stand once, in __init__.pyi; each is loaded when it is first used.
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
