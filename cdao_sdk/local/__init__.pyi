from .server import LocalSageMaker as LocalSageMaker
