"""The script runtime: runs one function of the user inside a SageMaker job's container.

This is one file because it is delivered as one file, in an input channel of the job, into images
that we do not build. It imports nothing but the standard library, keeps to Python 3.6, and loads
what costs time only where it is needed. A copy of it (`cdao_runner.py`) serves the model later.

Sections: errors, paths, code, stand-ins, what the stand-ins offer, job context, decoding, coercion,
encoding, the user's function, failure, signals, several processes, model packing, serving, main.

In: `spec.json` and the code. Out: `outputs.json`, or a failure text and an exit code that is not 0.
"""

import faulthandler
import importlib
import json
import math
import os
import re
import sys
from importlib.machinery import ModuleSpec

SPEC_VERSION = 1
HERE = os.path.abspath(__file__)


# ---------------------------------------------------------------------------------------- errors


class UserError(Exception):
    """The user can mend it: told in one line, without a traceback."""


class EntryError(UserError):
    """The function that the job is for cannot be found."""


class InputError(UserError):
    """An input does not fit the function."""


class OutputError(UserError):
    """What the function returned cannot leave the job."""


class PlatformError(Exception):
    """What the platform should have brought is not there."""


class NotAvailableError(AttributeError):
    """Something of Flyte's or of CDAO SDK's own was used in the job, where it does not exist."""


class MisfitError(ValueError):
    """A value does not fit a type; `steps` lead from the input or output to the value."""

    def __init__(self, why):
        super().__init__(why)
        self.steps = []


class WorkersFailed(Exception):
    """Processes that we started through a launcher failed; one of them may have told why."""

    tag = "USER"

    def __init__(self, why, code, told=False):
        super().__init__(why)
        self.code = code
        self.told = told


class FlytekitFailed(WorkersFailed):
    """flytekit ran the function and it failed: the error's class, words and frames."""

    def __init__(self, title, why, tag, code=1, frames=()):
        super().__init__(why, code)
        self.title = title
        self.tag = tag
        self.frames = list(frames)


class StopRequest(BaseException):  # not caught by `except Exception`
    """SIGTERM: raised in the user's function, so that its `finally` blocks save what they can."""


# ----------------------------------------------------------------------------------------- paths

OPT_ML = os.environ.get("CDAO_OPT_ML") or "/opt/ml"


def real(path):
    """Where a path of `/opt/ml` really is."""
    if path == "/opt/ml" or path.startswith("/opt/ml/"):
        return OPT_ML + path[len("/opt/ml") :]
    return path


def rewritten(value):
    """A JSON value with every path of `/opt/ml` in it made real."""
    if isinstance(value, str):
        return real(value)
    if isinstance(value, list):
        return [rewritten(item) for item in value]
    if isinstance(value, dict):
        return {key: rewritten(item) for key, item in value.items()}
    return value


def relative_to(path, root):
    """`path` below `root`: "" for the root itself, None where it lies elsewhere."""
    for resolve in (os.path.abspath, os.path.realpath):
        inner, outer = resolve(path), resolve(root)
        if inner == outer:
            return ""
        if inner.startswith(outer.rstrip("/") + "/"):
            return inner[len(outer.rstrip("/")) + 1 :]
    return None


def copy_file(source, target, link=False):
    """A file's content at another place: a second name for it where `link` allows and disks do."""
    import shutil

    goal = os.path.realpath(source)
    if link and os.path.isfile(goal):
        try:
            os.link(goal, target)
        except OSError:
            pass  # another disk, or a file system without links
        else:
            return target
    return shutil.copyfile(source, target)


# ------------------------------------------------------------------------------------------ code

CODE_DIRS = []  # where the user's modules are, first on sys.path
SCRATCH = []  # made by us, removed at the end
TAR_SUFFIXES = (".tar.gz", ".tgz", ".tar")


def scratch_directory():
    """A new directory of ours. (`tempfile` costs 10 ms to import.)"""
    base = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108  made by mkdir, which fails if it exists
    number = 0
    while True:
        path = os.path.join(base, "cdao-%d-%d" % (os.getpid(), number))
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            number += 1
        else:
            SCRATCH.append(path)
            return path


def located(source):
    """The tarball or the directory that an entry of the spec's `code` means."""
    if not os.path.exists(source):
        msg = f"the job's code is not there: {source}"
        raise PlatformError(msg)
    if os.path.isdir(source):
        names = [name for name in os.listdir(source) if name != os.path.basename(HERE)]
        if len(names) == 1 and names[0].endswith(TAR_SUFFIXES):
            return os.path.join(source, names[0])
    return source


def unpack(tarball, target):
    """Unpack the user's code; nothing of it may land outside of `target`.

    The checks are our own on every Python: `tarfile`'s filters are missing from most of them.
    """
    import tarfile
    import zlib

    with open(tarball, "rb") as head:
        mode = "r:gz" if head.read(2) == b"\x1f\x8b" else "r:"
    try:
        with tarfile.open(tarball, mode) as archive:
            for member in archive:
                unpack_member(archive, member, os.path.realpath(target))
    except (tarfile.TarError, EOFError, zlib.error) as error:
        msg = f"the job's code cannot be unpacked: {tarball}: {error}"
        raise PlatformError(msg) from error


def unpack_member(archive, member, root):
    """One entry of the archive; nothing is written through a link that an earlier one made."""
    name = os.path.normpath(member.name)
    path = os.path.join(root, name)
    unsafe = os.path.isabs(name) or name.split(os.sep)[0] == ".."
    if unsafe or relative_to(os.path.realpath(path), root) is None or member.isdev():
        msg = f"the job's code holds an unsafe entry: {member.name!r}"
        raise UserError(msg)
    os.makedirs(path if member.isdir() else os.path.dirname(path), exist_ok=True)
    if member.isfile() or member.islnk():
        try:
            content = archive.extractfile(member)
        except KeyError:
            content = None
        if content is None:
            note(f"{member.name!r} of the job's code is a link to nothing; left out")
            return
        with content, open(path, "wb") as out:
            for block in iter(lambda: content.read(1 << 20), b""):
                out.write(block)
        os.chmod(path, (member.mode & 0o755) | 0o600)
    elif member.issym():
        goal = os.path.realpath(os.path.join(os.path.dirname(path), member.linkname))
        if relative_to(goal, root) is None:
            note(f"{member.name!r} of the job's code links out of it; left out")
        elif not os.path.lexists(path):
            os.symlink(member.linkname, path)


def add_code(sources):
    """Put the user's modules first on `sys.path`, and work where they are."""
    for source in map(located, sources):
        directory = source
        if not os.path.isdir(source):
            directory = scratch_directory()
            unpack(source, directory)
        CODE_DIRS.append(directory)
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != os.path.dirname(HERE)]
    sys.path[:0] = CODE_DIRS
    if CODE_DIRS:
        os.chdir(CODE_DIRS[0])


# ------------------------------------------------------------------------------------- stand-ins
# First on sys.meta_path even where the real packages are: 0.2 s instead of 3.6 s, and the same
# behaviour in every image. While a module is being imported, everything is allowed and does
# nothing; once a function runs, what is not offered says so.

ROOTS = frozenset(
    ("cdao_sdk", "flytekit", "flyteidl", "flytekitplugins", "mashumaro", "dataclasses_json")
)
DECORATOR = re.compile(r"[._](task|workflow|dynamic|eager)$|\.sagemaker_\w+$")
EXCEPTION = re.compile(r"(Error|Exception)$")
EXCEPTION_MODULE = re.compile(r"\.(errors|exceptions)(\.|$)")
# Exceptions by name: an `except` clause needs a real one, wherever it was imported from.
CDAO_EXCEPTIONS = frozenset(
    [
        "ExecutionTimeout",
        "JobFailed",
        "JobInterrupted",
        "JobStopped",
        "NotFound",
        "ResourcesUnavailable",
    ]
)
EXCEPTION_BASES = {"cdao_sdk": "CdaoError", "flytekit": "FlyteException"}
# What `from … import *` brings.
STARRED = {
    "cdao_sdk": """
        CdaoError Channel ConfigurationError Execution ExecutionTimeout JobFailed JobInterrupted
        JobStopped NotFound Plan PlanError Report ResourcesUnavailable SpecError SubmissionError
        configure configure_sagemaker current_job get_execution monitor_sagemaker_jobs plan
        report_sagemaker_jobs run
        sagemaker_batch_transform sagemaker_batch_transform_task sagemaker_processing
        sagemaker_processing_task sagemaker_task sagemaker_training sagemaker_training_task
        sagemaker_workflow
    """,
    "flytekit": """
        Artifact Cache CachePolicy Checkpoint ContainerTask CronSchedule Deck Documentation Email
        FixedRate FlyteContext FlyteContextManager FlyteDirectory FlyteFile FlyteRemote HashMethod
        ImageSpec Labels LaunchPlan PodTemplate PythonFunctionTask Resources SQLTask Secret
        SecurityContext StructuredDataset TaskMetadata Workflow WorkflowFailurePolicy approve
        conditional current_context dynamic eager kwtypes logger map_task new_context
        reference_launch_plan reference_task reference_workflow sleep task wait_for_input workflow
    """,
}
CACHE = {}  # path, or (root, name) of an exception -> stand-in


def importing():
    """Whether a module is being imported right now, in this thread."""
    frame = sys._getframe(1)  # noqa: SLF001  the stack is where the answer is
    while frame is not None:
        code = frame.f_code
        if code.co_name == "_find_and_load" and "importlib" in code.co_filename:
            return True
        frame = frame.f_back
    return False


def refuse(path):
    """Once the function runs: what is not there says so."""
    if not importing():
        msg = (
            f"{path} is not available in the script runtime: the function runs alone in its"
            " container. Use it outside of the task, or give the task runtime='flytekit'"
        )
        raise NotAvailableError(msg)


class Subscriptable(type(os.PathLike)):
    """`FlyteFile["csv"]` is FlyteFile. (Python 3.6 has no `__class_getitem__`.)"""

    def __getitem__(cls, _):
        return cls

    __iter__ = None  # else iteration would go through __getitem__, without an end


class StandInType(Subscriptable):
    """A class whose attributes and instances are stand-ins too; subclasses are the user's own."""

    def __call__(cls, *args, **kwargs):
        if "stand_in_path" in vars(cls):
            refuse(cls.stand_in_path)
        return super().__call__(*args, **kwargs)

    def __getattr__(cls, name):
        if name.startswith("__") or "stand_in_path" not in vars(cls):
            msg = f"type object {cls.__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        path = f"{cls.stand_in_path}.{name}"
        refuse(path)
        return stand_in(path)

    def register(cls, *args, **_):
        """Not ABCMeta's: `TypeEngine.register(...)`."""
        return args[0] if args else None


class StandIn(metaclass=StandInType):
    """Anything that is not there: callable, subscriptable, a decorator, with any attribute."""

    stand_in_path = "stand-in"

    def __init_subclass__(cls, **_):
        super().__init_subclass__()

    def __init__(self, *_, **values):
        vars(self).update(values)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        path = f"{self.stand_in_path}.{name}"
        if "stand_in_path" not in vars(self) and "stand_in_path" not in vars(type(self)):
            msg = f"{path} is not available in the script runtime"
            raise NotAvailableError(msg)
        offer = offered(path)
        if offer is None:
            refuse(path)
        return offer or stand_in(path)

    def __call__(self, *args, **kwargs):
        refuse(self.stand_in_path)
        if decorates(self.stand_in_path, args, kwargs):
            return args[0]
        return named_stand_in(self.stand_in_path + "()")

    def __getitem__(self, _):
        return self

    def __iter__(self):
        return iter(())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def __repr__(self):
        return f"<stand-in for {self.stand_in_path}>"


def decorates(path, args, kwargs):
    """Whether a call decorates a function: `@task`, `@task(...)`, `task(f, ...)`."""
    if not args or not callable(args[0]) or isinstance(args[0], StandIn):
        return False
    if DECORATOR.search(path):
        return True
    # cdao_sdk.run(workflow) is no decorator; of other packages we do not know all names.
    applied = path.endswith("()") or not path.startswith("cdao_sdk")
    return applied and len(args) == 1 and not kwargs


def named_stand_in(path):
    """An object that stands in for `path`."""
    made = StandIn.__new__(StandIn)
    vars(made)["stand_in_path"] = path
    return made


def exception(root, name):
    """A real exception class; the same one for each place it is imported from."""
    if (root, name) not in CACHE:
        base_name = EXCEPTION_BASES.get(root, name)
        base = Exception if name == base_name else exception(root, base_name)
        CACHE[root, name] = type(name, (base,), {"__module__": root, "__init__": keep_keywords})
    return CACHE[root, name]


def keep_keywords(self, *args, **kwargs):
    """`__init__` of a stand-in exception: keywords become attributes."""
    Exception.__init__(self, *args)
    vars(self).update(kwargs)


def stand_in(path):
    """What stands in for a dotted path: what is offered, an exception, a class or an object."""
    offer = offered(path)
    if offer is not None:
        return offer
    parent, _, name = path.rpartition(".")
    root = path.partition(".")[0]
    if name[0].isupper():
        if EXCEPTION.search(name) or EXCEPTION_MODULE.search(parent) or name in CDAO_EXCEPTIONS:
            return exception(root, name)
        if path not in CACHE:
            CACHE[path] = StandInType(name, (StandIn,), {"stand_in_path": path})
        return CACHE[path]
    return named_stand_in(path)


class StandInModule(type(sys)):
    """A module with every name in it. (Python 3.6 has no module-level `__getattr__`.)"""

    __version__ = "0.0.0"

    def __getattr__(self, name):
        # The import system asks for cdao_sdk.examples here before it looks into the bundle.
        if name.startswith("__") or (self.__name__, name) == ("cdao_sdk", "examples"):
            msg = f"module {self.__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = stand_in(f"{self.__name__}.{name}")
        setattr(self, name, value)
        return value


class StandInFinder:
    """Finder and loader of the stand-ins."""

    def find_spec(self, name, _path=None, _target=None):
        if name.partition(".")[0] not in ROOTS or re.match(r"cdao_sdk\.examples(\.|$)", name):
            return None
        spec = ModuleSpec(name, self, is_package=True)
        # Examples are real files, where the bundle has them.
        spec.submodule_search_locations = (
            [os.path.join(path, name) for path in CODE_DIRS] if name == "cdao_sdk" else []
        )
        return spec

    def create_module(self, spec):
        module = StandInModule(spec.name)
        if spec.name in STARRED:
            module.__all__ = STARRED[spec.name].split()
        return module

    def exec_module(self, module):
        """Nothing to run."""


class TypingExtensionsFinder(StandInFinder):
    """`typing_extensions` where an image lacks it: last on the path, so that a real one wins."""

    def find_spec(self, name, _path=None, _target=None):
        return ModuleSpec(name, self) if name == "typing_extensions" else None

    def exec_module(self, module):
        import typing

        vars(module).update({name: getattr(typing, name) for name in typing.__all__})
        if "Annotated" not in vars(module):
            module.Annotated = FirstArgument()


class FirstArgument:
    """`Annotated[X, …]` is X."""

    def __getitem__(self, arguments):
        return arguments[0]


def install_stand_ins():
    """Put the stand-ins in place of Flyte and of CDAO SDK, for this process."""
    if any(isinstance(finder, StandInFinder) for finder in sys.meta_path):
        return
    for name in [name for name in sys.modules if name.partition(".")[0] in ROOTS]:
        del sys.modules[name]
    sys.meta_path.insert(0, StandInFinder())
    sys.meta_path.append(TypingExtensionsFinder())


# ----------------------------------------------------------------------- what the stand-ins offer


class LocalPath(os.PathLike, metaclass=Subscriptable):
    """A file or directory of the job; what FlyteFile and FlyteDirectory have in common."""

    def __init__(self, path, downloader=None, remote_path=None, **_):
        del downloader  # flytekit's second argument
        path = os.fspath(path)
        self.path = path[len("file://") :] if path.startswith("file://") else path
        self.remote_path = remote_path
        self.remote_source = self.path if is_remote(self.path) else None

    @classmethod
    def new(cls, name):
        """A path in the job's working directory."""
        return cls(os.path.join(current_context().working_directory, str(name)))

    @classmethod
    def from_source(cls, source):
        """A path or a URI as it is."""
        return cls(source)

    def download(self):
        """The local path; inputs are there before the function starts."""
        return os.fspath(self)

    def __fspath__(self):
        if is_remote(self.path):
            msg = f"{self.path} is not on the job's disk: make it an input of the task"
            raise NotAvailableError(msg)
        return self.path

    def __str__(self):
        return self.path

    def __repr__(self):
        return f"{type(self).__name__}({self.path!r})"

    def __eq__(self, other):
        return type(self) is type(other) and self.path == other.path

    def __hash__(self):
        return hash(self.path)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source, _handler):
        return file_schema(cls)


def file_schema(cls):
    """How a pydantic model takes a file or data frame: as its annotation says, and as it is."""
    from pydantic_core import core_schema

    def validate(value):
        return coerce(value, cls)

    take = getattr(core_schema, "no_info_plain_validator_function", None)
    return take(validate) if take else core_schema.any_schema()


class FlyteFile(LocalPath):
    """A file of the job."""

    def open(self, mode="r", **options):
        """Open the file, as the built-in `open` does."""
        options = {key: options[key] for key in options if not key.startswith("cache_")}
        return open(os.fspath(self), mode, **options)

    @classmethod
    def extension(cls):
        """The stand-in knows no formats."""
        return ""


class FlyteDirectory(LocalPath):
    """A directory of the job."""

    def crawl(self, **_):
        """Pairs of the directory and each file's path below it."""
        for folder, _names, files in os.walk(os.fspath(self)):
            for name in files:
                yield self.path, os.path.relpath(os.path.join(folder, name), self.path)


class StructuredDataset(metaclass=Subscriptable):
    """A pandas DataFrame, or the file that one is read from."""

    def __init__(self, dataframe=None, uri=None, metadata=None, file_format=None, **_):
        self.dataframe = dataframe
        self.uri = uri
        self.metadata = metadata
        self.path = None
        self.format = file_format
        self.columns = None

    @classmethod
    def __get_pydantic_core_schema__(cls, _source, _handler):
        return file_schema(cls)

    def open(self, _dataframe_type):
        """The dataset itself: pandas is the only type there is."""
        return self

    def all(self):
        """The pandas DataFrame."""
        if self.dataframe is None:
            if self.path is None:
                msg = f"{self.uri} is not on the job's disk: make it an input of the task"
                raise NotAvailableError(msg)
            self.dataframe = read_frame(self.path, self.format, self.columns)
        return self.dataframe


def kwtypes(**columns):
    """The columns of a data frame and their types."""
    return columns


class FlyteRecoverableException(Exception):
    """The job may be tried again."""


class JsonMethods:
    """What mashumaro and dataclasses_json give a dataclass."""

    @classmethod
    def from_dict(cls, values, **_):
        """An instance of a dict's values."""
        return coerce(values, cls)

    @classmethod
    def from_json(cls, text, **_):
        """An instance of a JSON object."""
        return cls.from_dict(json.loads(text))

    def to_dict(self, **_):
        """The fields as plain values."""
        return struct_value(self)

    def to_json(self, **_):
        """The fields as JSON."""
        return json.dumps(self.to_dict())


def dataclass_json(cls=None, **_):
    """Decorator that gives a dataclass its JSON methods; bare or with arguments."""
    if cls is None:
        return dataclass_json
    for name in ("from_dict", "from_json", "to_dict", "to_json"):
        setattr(cls, name, vars(JsonMethods)[name])
    return cls


class Checkpoint:
    """`flytekit.current_context().checkpoint`: files in the job's checkpoint directory."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "flyte-checkpoint")

    def read(self):
        """What was written last, also by an earlier attempt; None where nothing was."""
        if not os.path.exists(self.path):
            return None
        with open(self.path, "rb") as file:
            return file.read()

    def write(self, content):
        """Keep some bytes; SageMaker uploads them while the job runs."""
        with open(self.path + ".new", "wb") as file:
            file.write(content)
        os.replace(self.path + ".new", self.path)


class Secrets:
    """`flytekit.current_context().secrets`: what the task has asked for by secret_requests."""

    def __init__(self, job):
        self.job = job

    def get(self, group=None, key=None, group_version=None, encode_mode="r"):
        """A secret's text; its bytes with encode_mode="rb"."""
        text = self.job.secret(group, key, version=group_version)
        return text.encode("utf-8") if encode_mode == "rb" else text


def fetch_secret(reference):
    """A secret's text, from AWS Secrets Manager, by the job's own role; read once a process."""
    group, version = reference["group"], reference["version"]
    known = CACHE.setdefault("secrets", {})
    if (group, version) in known:
        return known[group, version]
    try:
        import boto3
    except ImportError:
        msg = f"secret {group!r} needs boto3 in the image; AWS's own images have it"
        raise UserError(msg) from None
    wanted = {"SecretId": group}
    if version:
        is_stage = re.match(r"AWS[A-Z]+$", version) or len(version) < 32
        wanted["VersionStage" if is_stage else "VersionId"] = version
    try:
        client = boto3.client("secretsmanager", region_name=reference["region"])
        answer = client.get_secret_value(**wanted)
    except Exception as error:  # noqa: BLE001  boto3 raises of many classes
        msg = (
            f"secret {group!r} cannot be read: {type(error).__name__}: {error}. The job's role must"
            " have secretsmanager:GetSecretValue for it"
        )
        raise UserError(msg) from None
    text = answer.get("SecretString")
    if text is None:
        text = str(answer["SecretBinary"], "utf-8")
    known[group, version] = text
    return text


def secret_value(reference, key):
    """A secret, or one entry of the JSON object that it holds; no error shows anything of it."""
    text = fetch_secret(reference)
    if not key:
        return text
    try:
        entries = json.loads(text)
    except ValueError:
        entries = None
    if not isinstance(entries, dict) or key not in entries:
        what = "has no entry" if isinstance(entries, dict) else "is no JSON object, so it has no"
        msg = "secret {!r} {} {!r}".format(reference["group"], what, key)
        raise UserError(msg)
    value = entries[key]
    return value if isinstance(value, str) else json.dumps(value)


def export_secrets(references, all_of_them):
    """Set the variables that secrets were asked for as; all of them for flytekit itself."""
    for reference in references:
        names = [name for name in reference["variables"] if name not in os.environ]
        if names and (reference["export"] or all_of_them):
            value = secret_value(reference, reference["key"])
            os.environ.update((name, value) for name in names)


class ExecutionContext:
    """`flytekit.current_context()`, as far as the container knows."""

    def __init__(self, job):
        from types import SimpleNamespace

        self.execution_id = SimpleNamespace(name=job.execution, project="", domain="")
        self.checkpoint = Checkpoint(job.checkpoint_dir or job.output_dir)
        self.secrets = Secrets(job)

    @property
    def working_directory(self):
        """A directory of the job's own, removed at its end."""
        if "working_directory" not in CACHE:
            CACHE["working_directory"] = scratch_directory()
        return CACHE["working_directory"]

    @property
    def logging(self):
        """flytekit's logger."""
        return flyte_logger()

    def __getattr__(self, name):
        msg = f"current_context().{name} is not available in the script runtime"
        raise NotAvailableError(msg)


def flyte_logger():
    """The logger that flytekit's users know."""
    import logging

    return logging.getLogger("flytekit")


def current_context():
    """flytekit's context of the running task."""
    return ExecutionContext(current_job())


OFFERED = {
    "FlyteDirectory": FlyteDirectory,
    "FlyteFile": FlyteFile,
    "FlyteRecoverableException": FlyteRecoverableException,
    "StructuredDataset": StructuredDataset,
    "current_context": current_context,
    "kwtypes": kwtypes,
}
OFFERED_JSON = {
    "DataClassDictMixin": JsonMethods,
    "DataClassJSONMixin": JsonMethods,
    "DataClassJsonMixin": JsonMethods,
    "dataclass_json": dataclass_json,
    "config": lambda **_: {},
    "field_options": lambda **_: {},
}


def offered(path):
    """What really works under a path of the stand-ins, or None."""
    parent, _, name = path.rpartition(".")
    root = path.partition(".")[0]
    if root in ("mashumaro", "dataclasses_json"):
        return OFFERED_JSON.get(name)
    if root == "cdao_sdk" and name == "current_job":
        return current_job
    if root == "flytekit" and name == "logger":
        return flyte_logger()
    if parent.startswith("flytekit.types.file") and name[0].isupper():
        return FlyteFile  # PNGImageFile and its like
    if parent.startswith("flytekit.types.directory") and name[0].isupper():
        return FlyteDirectory
    return OFFERED.get(name) if root in ("flytekit", "cdao_sdk") else None


def is_remote(path):
    """Whether a path is a URI of another place."""
    return re.match(r"[a-z][a-z0-9+.-]*://", path) is not None


# ----------------------------------------------------------------------------------- job context

STATE = {"job": None, "doing": None, "stopping": False, "polls": False, "starts": False}
OWN_CHANNELS = ("cdao", "cdao-job", "cdao-code")


class Job:
    """What `cdao_sdk.current_job()` returns: where things are, and who else works on them.

    Attributes:
        name, kind, execution, node, attempt: Which job this is; kind "training" or "processing".
        hosts, current_host, rank, is_lead: The hosts, sorted; only the lead's result counts.
        global_rank, local_rank, world_size: Of this process among all, and on its host.
        master_address, master_port: Where the processes find each other.
        instance_group: The host's group in a heterogeneous cluster.
        should_stop: Whether the job was asked to stop.
        instance_type: As SageMaker says, "" if it does not.
        inputs: Channel's name -> its directory.
        model_dir, output_dir, checkpoint_dir: Directories; None where the kind has none.
        hyperparameters: Name -> value, as SageMaker passes them: strings.
        metrics: What `log_metric` recorded last, by name.
        num_cpus, num_gpus: Of this host.
    """

    def __init__(self, spec):
        about = spec.get("job") or {}
        resources = read_config("resourceconfig.json")
        hosts = sorted(resources.get("hosts") or ["algo-1"], key=natural_key)
        host = resources.get("current_host") or hosts[0]
        rank = hosts.index(host) if host in hosts else 0
        process_rank = launched("RANK", "OMPI_COMM_WORLD_RANK")
        training = spec.get("kind") == "training"
        root = "input/data" if training else "processing/input"
        parameters = dict(spec.get("hyperparameters") or {})
        parameters.update(read_config("hyperparameters.json"))
        vars(self).update(
            name=about.get("name", ""),
            kind=spec.get("kind", ""),
            execution=about.get("execution", ""),
            node=about.get("node", ""),
            attempt=about.get("attempt", 0),
            hosts=tuple(hosts),
            current_host=host,
            rank=rank,
            # A launcher such as torchrun starts several processes on a host.
            is_lead=(rank if process_rank is None else process_rank) == 0,
            global_rank=rank if process_rank is None else process_rank,
            local_rank=launched("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK") or 0,
            world_size=launched("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE") or len(hosts),
            master_address=os.environ.get("MASTER_ADDR") or address_of(hosts[0]),
            master_port=int(os.environ.get("MASTER_PORT") or port_of(about.get("name", ""))),
            instance_group=resources.get("current_group_name") or "",
            instance_type=resources.get("current_instance_type") or "",
            network_interface=resources.get("network_interface_name") or "",
            inputs=read_only(channels(os.path.join(OPT_ML, root))),
            model_dir=spec.get("model_dir"),
            output_dir=spec["result_dir"],
            checkpoint_dir=os.path.join(OPT_ML, "checkpoints") if training else None,
            hyperparameters=read_only(parameters),
            secret_references=tuple(spec.get("secrets") or ()),
            metrics={},
        )

    def __setattr__(self, name, _=None):
        msg = f"current_job() is read-only; {name!r} cannot be set"
        raise AttributeError(msg)

    __delattr__ = __setattr__

    def __repr__(self):
        return f"<job {self.name!r} on {self.current_host}>"

    @property
    def should_stop(self):
        """Whether the job was asked to stop.

        A body that asks is trusted to leave by itself: SIGTERM raises nothing in it from then on.
        """
        STATE["polls"] = True
        return STATE["stopping"]

    @property
    def num_cpus(self):
        """CPUs that this process may use."""
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1

    @property
    def num_gpus(self):
        """NVIDIA GPUs of this host."""
        return sum(1 for name in os.listdir("/dev") if re.match(r"nvidia\d+$", name))

    def input_dir(self, channel):
        """The directory of an input channel.

        Raises:
            KeyError: There is no such channel.
        """
        if channel not in self.inputs:
            msg = "no channel {!r}; there are: {}".format(channel, ", ".join(self.inputs) or "none")
            raise KeyError(msg)
        return self.inputs[channel]

    def secret(self, group, key=None, version=None):
        """The value of a secret that the task has asked for by `secret_requests`.

        Args:
            group: The secret's name or ARN in AWS Secrets Manager.
            key: An entry of the JSON object that it holds; None: its whole text.
            version: A version's id or stage; None: what the task asked for.

        Raises:
            UserError: It was not asked for, or cannot be read.
        """
        for reference in self.secret_references:
            fits = reference["group"] == group and reference["key"] in (None, key)
            if fits and version in (None, reference["version"]):
                return secret_value(reference, key)
        asked = ["{}/{}".format(item["group"], item["key"]) for item in self.secret_references]
        msg = "the task has not asked for secret {!r}, key {!r}, but for: {}. Add it: ".format(
            group, key, ", ".join(asked) or "none"
        )
        raise UserError(msg + f"secret_requests=[Secret(group={group!r}, key={key!r})]")

    def log_metric(self, name, value, step=None):
        """Record a metric: SageMaker reads it from the log, and it goes into the job's result.

        Args:
            name: Such as "validation:auc".
            value: A number.
            step: Such as the epoch; left out where it has none.

        Raises:
            ValueError: The name is empty, longer than 255 characters or has a line break.
        """
        if not name or len(name) > 255 or "\n" in name:
            msg = f"a metric's name has 1 to 255 characters in one line, not {name!r}"
            raise ValueError(msg)
        number = float(value)
        line = f"[cdao:metric] {name}={number!r}"
        entry = {"value": number if math.isfinite(number) else repr(number)}
        if step is not None:
            entry["step"] = int(step)
            line += " step={}".format(entry["step"])
        self.metrics[name] = entry
        if sys.stdout is not None:
            sys.stdout.flush()
            # One write: what other processes print cannot come in between.
            os.write(1, (line + "\n").encode("utf-8"))


def launched(*names):
    """A number that a launcher such as torchrun gave this process; None where there was none."""
    for name in names:
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return None


def address_of(host):
    """Under which name or address a host is reached.

    The embedded SageMaker says so where it cannot make its hosts' names known.
    """
    return json.loads(os.environ.get("CDAO_HOSTS") or "{}").get(host, host)


PORTS = range(12000, 28000)  # below those that kernels give to outgoing connections


def port_of(name):
    """A port of the job's own: the embedded SageMaker runs many jobs on one machine."""
    import zlib

    return PORTS[zlib.crc32(name.encode("utf-8")) % (len(PORTS) // 8) * 8]


def read_only(values):
    """A mapping that cannot be changed."""
    from types import MappingProxyType

    return MappingProxyType(values)


def natural_key(name):
    """Sorts algo-2 before algo-10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def read_config(name):
    """One of SageMaker's own configuration files; {} where it is absent or unreadable."""
    for folder in ("input/config", "config"):
        try:
            with open(os.path.join(OPT_ML, folder, name), encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def channels(root):
    """Channel's name -> its directory, without those of our own."""
    names = sorted(os.listdir(root)) if os.path.isdir(root) else []
    paths = {name: os.path.join(root, name) for name in names if name not in OWN_CHANNELS}
    found = {name: path for name, path in paths.items() if os.path.isdir(path)}
    # A channel in Pipe mode is a named pipe for each pass: <channel>_0, <channel>_1, ...
    piped = [path[:-2] for path in paths.values() if path.endswith("_0") and is_pipe(path)]
    found.update({os.path.basename(path): path for path in piped})
    return found


def is_pipe(path):
    """Whether a path is a named pipe."""
    import stat

    return stat.S_ISFIFO(os.stat(path).st_mode)


def current_job():
    """The running job.

    Raises:
        NotAvailableError: This process belongs to no job.
    """
    if STATE["job"] is None:
        if "CDAO_SPEC" not in os.environ:
            msg = "current_job() is not available here: no job is running"
            raise NotAvailableError(msg)
        STATE["job"] = Job(read_spec(os.environ["CDAO_SPEC"]))
    return STATE["job"]


def export_environment(job):
    """The variables that SageMaker's own toolkits set, and that their users' code reads."""
    values = {
        "SM_CHANNELS": json.dumps(sorted(job.inputs)),
        "SM_CURRENT_HOST": job.current_host,
        "SM_CURRENT_INSTANCE_TYPE": job.instance_type,
        "SM_HOSTS": json.dumps(job.hosts),
        "SM_HPS": json.dumps(dict(job.hyperparameters)),
        "SM_INPUT_DIR": os.path.join(OPT_ML, "input"),
        "SM_NETWORK_INTERFACE_NAME": job.network_interface,
        "SM_NUM_CPUS": str(job.num_cpus),
        "SM_NUM_GPUS": str(job.num_gpus),
        "SM_OUTPUT_DATA_DIR": job.output_dir,
        "SM_OUTPUT_DIR": os.path.join(OPT_ML, "output"),
    }
    if job.model_dir:
        values["SM_MODEL_DIR"] = job.model_dir
    for channel, path in job.inputs.items():
        values["SM_CHANNEL_" + re.sub(r"\W", "_", channel.upper())] = path
    for name, value in job.hyperparameters.items():
        values["SM_HP_" + re.sub(r"\W", "_", name.upper())] = str(value)
    if len(job.hosts) > 1 and job.network_interface:
        # Else NCCL and gloo may pick the container's own loopback.
        values["NCCL_SOCKET_IFNAME"] = values["GLOO_SOCKET_IFNAME"] = job.network_interface
    if WORKER in os.environ or len(job.hosts) > 1:
        values["MASTER_ADDR"] = job.master_address
        values["MASTER_PORT"] = str(job.master_port)
    if WORKER in os.environ:  # mpirun has names of its own for these
        values["RANK"] = str(job.global_rank)
        values["LOCAL_RANK"] = str(job.local_rank)
        values["WORLD_SIZE"] = str(job.world_size)
    for name, value in values.items():
        os.environ.setdefault(name, value)


# -------------------------------------------------------------------------------------- decoding


def decode(encoded):
    """An input of the spec, as far as it is known without the function's annotation."""
    for tag, decoder in DECODERS.items():
        if isinstance(encoded, dict) and tag in encoded:
            return decoder(encoded)
    msg = f"the spec holds a value of a kind that this runtime does not know: {brief(encoded)}"
    raise PlatformError(msg)


def on_disk(encoded, tag):
    """The path of an encoded file or directory, which must be there."""
    path = encoded[tag]
    if not os.path.exists(path) and not os.path.exists(path + "_0"):  # a pipe
        folder = os.path.dirname(path)
        there = ", ".join(sorted(os.listdir(folder))[:5]) if os.path.isdir(folder) else ""
        msg = "{} did not come into the job: {} is not there (there is: {})".format(
            encoded.get("uri") or "its data", path, there or "nothing"
        )
        raise MisfitError(msg)
    return path


def decode_path(cls, tag):
    """The decoder of files or directories."""

    def decoder(encoded):
        made = cls(on_disk(encoded, tag))
        made.remote_source = encoded.get("uri")
        return made

    return decoder


def decode_frame(encoded):
    """A data frame that is read once it is asked for."""
    dataset = StructuredDataset(uri=encoded.get("uri"))
    dataset.path = on_disk(encoded, "dataframe")
    dataset.format = encoded.get("format")
    return dataset


def decode_pickle(encoded):
    """A pickled value. The user's own task made it, and only their own job reads it."""
    import pickle

    with open(on_disk(encoded, "pickle"), "rb") as file:
        try:
            return pickle.load(file)
        except Exception as error:
            version = ".".join(map(str, sys.version_info[:2]))
            msg = (
                f"its pickle cannot be read by Python {version}: {error}: annotate the value with"
                " its real type, such as dict"
            )
            raise MisfitError(msg) from error


def decode_timedelta(encoded):
    """Seconds."""
    from datetime import timedelta

    return timedelta(seconds=encoded["timedelta"])


def decode_bytes(encoded):
    """Bytes as base64."""
    import base64

    return base64.b64decode(encoded["bytes"])


DECODERS = {
    "value": lambda encoded: encoded["value"],
    "bytes": decode_bytes,
    "float": lambda encoded: float(encoded["float"]),
    "file": decode_path(FlyteFile, "file"),
    "directory": decode_path(FlyteDirectory, "directory"),
    "dataframe": decode_frame,
    "pickle": decode_pickle,
    "datetime": lambda encoded: parse_datetime(encoded["datetime"]),
    "timedelta": decode_timedelta,
    "list": lambda encoded: [decode(item) for item in encoded["list"]],
    "map": lambda encoded: {key: decode(item) for key, item in encoded["map"].items()},
    "uri": lambda encoded: encoded["uri"],
}

DATETIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?\s*(Z|[+-]\d\d:?\d\d)?$"
)


def parse_datetime(text):
    """A datetime of ISO 8601. (Python has one that takes "Z" only from 3.11 on.)"""
    from datetime import datetime, timedelta, timezone

    match = DATETIME.match(text)
    if match is None:
        msg = f"{text!r} is no date of ISO 8601"
        raise MisfitError(msg)
    numbers = [int(part or 0) for part in match.groups()[:6]]
    microsecond = int(((match.group(7) or "") + "000000")[:6])
    zone, offset = None, match.group(8)
    if offset == "Z":
        zone = timezone.utc
    elif offset:
        minutes = int(offset[1:3]) * 60 + int(offset[-2:])
        zone = timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))
    try:
        return datetime(*numbers, microsecond, tzinfo=zone)
    except ValueError as error:
        raise MisfitError(str(error)) from error


def frame_parts(path):
    """The files of a data frame, in order; flytekit names its CSV file ".csv"."""
    if not os.path.isdir(path):
        return [path]
    names = sorted(name for name in os.listdir(path) if name == ".csv" or name[0] not in "._")
    return [os.path.join(path, name) for name in names]


def read_frame(path, format_name=None, columns=None):
    """A pandas DataFrame of a file, or of a directory of parts; of some columns, if they are named.

    Raises:
        MisfitError: There is no such data frame.
    """
    import pandas as pd

    parts = frame_parts(path)
    csv = "csv" in (format_name or "") or (bool(parts) and parts[0].endswith((".csv", ".csv.gz")))
    read = pd.read_csv if csv else pd.read_parquet
    if not csv and any(map(os.path.isdir, parts)):
        parts = [path]  # partitions
    chosen = {"usecols" if csv else "columns": list(columns)} if columns else {}
    try:
        frames = [read(part, **chosen) for part in parts]
    except (ImportError, OSError, ValueError) as error:
        mend = "; bring pyarrow in the image, or CSV" if isinstance(error, ImportError) else ""
        msg = f"{path} cannot be read as a data frame: {error}{mend}"
        raise MisfitError(msg) from error
    if not frames:
        msg = f"{path} holds no data"
        raise MisfitError(msg)
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


# -------------------------------------------------------------------------------------- coercion
# What arrives is JSON; what the function says that it takes may be more. A type that we know
# nothing of takes its value as it is, if it is an instance of it.


def brief(value, limit=80):
    """A value for a message."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  the user's own __repr__
        text = f"<{type(value).__name__} whose repr failed: {type(error).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."


def type_name(hint):
    """A type for a message."""
    if isinstance(hint, type) and not getattr(hint, "__args__", None):
        return hint.__name__
    return str(hint).replace("typing.", "")


def misfit(value, hint, why=""):
    """The error that says what does not fit what."""
    msg = f"{brief(value)} ({type(value).__name__}) does not fit {type_name(hint)}"
    return MisfitError(msg + (f": {why}" if why else ""))


def annotations(function):
    """The annotations of a function or class; those that cannot be resolved are left out."""
    import typing

    extras = {"include_extras": True} if hasattr(typing, "Annotated") else {}
    try:
        return typing.get_type_hints(function, **extras)
    except Exception:  # noqa: BLE001  an import for type checkers only, or a newer Python's syntax
        return dict(resolvable(function))


def resolvable(function):
    """The annotations that can be resolved, one by one."""
    module = sys.modules.get(getattr(function, "__module__", None))
    names = getattr(function, "__globals__", None) or vars(module or json)
    for name, hint in getattr(function, "__annotations__", {}).items():
        try:
            # typing itself resolves names in this way.
            yield name, eval(hint, names) if isinstance(hint, str) else hint  # noqa: S307
        except Exception:  # noqa: BLE001, S112
            continue


def bare(hint):
    """A type without `Annotated`, `NewType` and `type X = …` around it."""
    while True:
        origin = getattr(hint, "__origin__", None)
        if hasattr(hint, "__metadata__"):
            hint = hint.__origin__
        elif type(origin).__name__ == "TypeAliasType":  # numpy's NDArray[...], from 2.5 on
            hint = origin.__value__[hint.__args__]
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        else:
            return type(None) if hint is None else hint


def annotated_columns(hint):
    """The columns of `Annotated[DataFrame, kwtypes(a=int)]`; None where it names none."""
    notes = getattr(hint, "__metadata__", ())
    return next((list(note) for note in notes if isinstance(note, dict) and note), None)


def annotated_format(hint):
    """The format of `Annotated[DataFrame, "csv"]`; None where it names none."""
    notes = getattr(hint, "__metadata__", ())
    return next((note.lower() for note in notes if isinstance(note, str)), None)


def type_parts(hint):
    """A type's origin and arguments: `List[int]` gives list and (int,)."""
    origin = getattr(hint, "__origin__", None) or hint
    origin = getattr(origin, "__extra__", None) or origin  # Python 3.6
    return origin, tuple(getattr(hint, "__args__", None) or ())


def is_union(hint):
    """Whether a type is `Union[...]`, `Optional[...]` or `X | Y`."""
    return str(type_parts(hint)[0]) == "typing.Union" or type(hint).__name__ in (
        "Union",  # Python 3.14
        "UnionType",
    )


def is_any(hint):
    """Whether a type takes everything: Any, type variables, names that were not resolved."""
    return (
        str(hint) in ("typing.Any", "typing_extensions.Any")
        or hint is object
        or isinstance(hint, (str, StandIn))
        or type(hint).__name__ in ("TypeVar", "ForwardRef", "_ForwardRef")
    )


def takes_none(hint):
    """Whether None fits a type."""
    hint = bare(hint)
    union = is_union(hint) and any(takes_none(arm) for arm in type_parts(hint)[1])
    return union or is_any(hint) or hint is type(None)


def coerce_inner(step, value, hint):
    """Coerce a part of a value; an error says which part."""
    try:
        return coerce(value, hint)
    except MisfitError as error:
        error.steps.insert(0, step)
        raise


def coerce(value, hint):
    """A value as the type that the user's code says.

    Raises:
        MisfitError: It does not fit.
    """
    if isinstance(value, StructuredDataset) and annotated_columns(hint):
        value.columns = annotated_columns(hint)
    hint = bare(hint)
    if is_any(hint):
        return value
    if is_union(hint):
        return to_union(value, hint, type_parts(hint)[1])
    origin, args = type_parts(hint)
    if str(origin).endswith("Literal") or hasattr(hint, "__values__"):
        return to_literal(value, hint, args or getattr(hint, "__values__", ()))
    if not isinstance(origin, type) or "stand_in_path" in vars(origin):
        return value
    if origin.__module__ != "numpy":
        value = without_numpy(value)
    name = f"{origin.__module__}.{origin.__qualname__}"
    converter = CONVERTERS.get(name)
    if converter is None:
        converter = next(convert for matches, convert in KINDS_OF_CLASSES if matches(origin))
    return converter(value, hint, args)


def without_numpy(value):
    """A numpy scalar or array as plain numbers or lists; any other value as it is."""
    is_numpy = type(value).__module__ == "numpy" and hasattr(value, "tolist")
    return value.tolist() if is_numpy else value


def to_union(value, hint, arms):
    """The arm that the value is an instance of already; else the first that it fits."""
    for arm in arms:
        if type(value) is type_parts(bare(arm))[0]:
            return coerce(value, arm)
    for arm in arms:
        try:
            return coerce(value, arm)
        except MisfitError:
            continue
    raise misfit(value, hint)


def to_literal(value, hint, choices):
    """One of the values; 6.0 for 6."""
    for choice in choices:
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):
            return choice
    raise misfit(value, hint)


def to_none(value, hint, _args):
    if value is not None:
        raise misfit(value, hint)


def to_bool(value, hint, _args):
    if isinstance(value, bool):
        return value
    raise misfit(value, hint)


def to_int(value, hint, _args):
    """Flyte's structs turn integers into floats."""
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise misfit(value, hint)


def to_float(value, hint, _args):
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise misfit(value, hint)


def to_str(value, hint, _args):
    """Of a file: its path."""
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise misfit(value, hint)


def to_datetime(value, hint, _args):
    from datetime import datetime

    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        return parse_datetime(value)
    raise misfit(value, hint)


def to_date(value, hint, _args):
    from datetime import date, datetime

    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    return to_datetime(value, hint, ()).date()


def to_timedelta(value, hint, _args):
    from datetime import timedelta

    if isinstance(value, timedelta):
        return value
    try:
        return timedelta(seconds=to_float(value, hint, ()))
    except OverflowError as error:
        raise misfit(value, hint, error) from error


def to_sequence(value, hint, args):
    """list, set and their abstract relatives."""
    origin = type_parts(hint)[0]
    if isinstance(value, (str, bytes, dict, StandIn)) or not hasattr(value, "__iter__"):
        raise misfit(value, hint)
    item_hint = args[0] if args else object
    items = [coerce_inner("[%d]" % i, item, item_hint) for i, item in enumerate(value)]
    name = origin.__name__.lower()
    return frozenset(items) if name == "frozenset" else set(items) if "set" in name else items


def to_tuple(value, hint, args):
    if not isinstance(value, (list, tuple)):
        raise misfit(value, hint)
    if not args or args == ((),):
        return tuple(value)
    if len(args) == 2 and args[1] is Ellipsis:
        args = (args[0],) * len(value)
    if len(args) != len(value):
        raise misfit(value, hint, f"{len(value)} items, not {len(args)}")
    pairs = enumerate(zip(value, args))
    return tuple(coerce_inner("[%d]" % i, item, arg) for i, (item, arg) in pairs)


def to_dict(value, hint, args):
    if not hasattr(value, "items"):
        raise misfit(value, hint)
    key_hint, item_hint = args if len(args) == 2 else (object, object)
    return {
        coerce_key(key, key_hint): coerce_inner(f"[{key!r}]", item, item_hint)
        for key, item in value.items()
    }


def coerce_key(key, hint):
    """A key; JSON has only strings for them."""
    hint = bare(hint)
    if isinstance(key, str) and hint in (int, float, bool):
        try:
            key = json.loads(key)
        except ValueError:
            raise misfit(key, hint) from None
    return coerce(key, hint)


def to_local_path(value, hint, _args):
    """FlyteFile and FlyteDirectory, of a path or of what flytekit makes of one in a struct."""
    cls = type_parts(hint)[0]
    if isinstance(value, cls):
        return value
    if isinstance(value, dict) and isinstance(value.get("path"), str):
        value = value["path"]
    if isinstance(value, (str, os.PathLike)):
        return cls(os.fspath(value))
    raise misfit(value, hint)


def to_dataset(value, hint, _args):
    if isinstance(value, StructuredDataset):
        return value
    if type(value).__name__ == "DataFrame":
        return StructuredDataset(dataframe=value)
    if isinstance(value, dict) and isinstance(value.get("uri"), str):
        return StructuredDataset(uri=value["uri"], file_format=value.get("file_format"))
    raise misfit(value, hint)


def to_frame(value, hint, _args):
    if isinstance(value, StructuredDataset):
        return value.all()
    if isinstance(value, LocalPath):
        return read_frame(os.fspath(value))
    if isinstance(value, hint):
        return value
    raise misfit(value, hint)


def to_array(value, hint, args):
    """A numpy array: of its file, or of lists."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return value
    item_types = getattr(args[1], "__args__", ()) if len(args) == 2 else ()
    dtype = item_types[0] if item_types and isinstance(item_types[0], type) else None
    try:
        if isinstance(value, LocalPath):
            return np.load(os.fspath(value), allow_pickle=False)
        if isinstance(value, StructuredDataset):
            value = value.all()
        elif not isinstance(value, (list, tuple, int, float)):
            raise misfit(value, hint)
        return np.asarray(value, dtype=dtype)
    except MisfitError:
        raise
    except (OSError, TypeError, ValueError) as error:
        raise misfit(value, hint, error) from error


def to_enum(value, hint, _args):
    """By value, else by name."""
    if isinstance(value, hint):
        return value
    for member in hint:
        if member.value == value:
            return member
    if isinstance(value, str) and value in hint.__members__:
        return hint[value]
    choices = ", ".join(repr(member.value) for member in hint)
    raise misfit(value, hint, f"one of {choices}")


def to_named_tuple(value, hint, _args):
    hints = annotations(hint)
    if not isinstance(value, dict):
        types = tuple(hints.get(name, object) for name in hint._fields)
        return hint(*to_tuple(value, hint, types))
    try:
        return hint(**coerce_fields(value, hints))
    except TypeError as error:
        raise misfit(value, hint, error) from error


def coerce_fields(values, hints):
    """The named parts of a value."""
    return {
        name: coerce_inner("." + name, item, hints.get(name, object))
        for name, item in values.items()
    }


def to_typed_dict(value, hint, _args):
    if not isinstance(value, dict):
        raise misfit(value, hint)
    return coerce_fields(value, annotations(hint))


def to_dataclass(value, hint, _args):
    cls = type_parts(hint)[0]
    if isinstance(value, cls):
        return value
    if not isinstance(value, dict):
        raise misfit(value, hint)
    fields = cls.__dataclass_fields__
    unknown = [name for name in value if name not in fields]
    if unknown:
        raise misfit(value, hint, f"it has no field {unknown[0]!r}")
    given = {name: item for name, item in value.items() if fields[name].init}
    try:
        return cls(**coerce_fields(given, annotations(cls)))
    except MisfitError:
        raise
    except Exception as error:
        raise misfit(value, hint, error) from error


def to_pydantic(value, hint, _args):
    validate = getattr(hint, "model_validate", None) or hint.parse_obj  # version 2, or 1
    try:
        return validate(value)
    except ValueError as error:
        raise misfit(value, hint, error) from error


def to_class(value, hint, _args):
    """Any other class: an instance of it; or of its text, where the class is known for that."""
    cls = type_parts(hint)[0]
    try:
        fits = isinstance(value, cls)
    except TypeError:  # a protocol, which instances cannot be checked against
        fits = True
    if fits:
        return value
    if isinstance(value, LocalPath) and issubclass(cls, os.PathLike):
        value = os.fspath(value)
    if cls is os.PathLike and isinstance(value, str):
        return FlyteFile(value)
    if isinstance(value, str) and is_textual(cls):
        try:
            return cls(value)
        except (ArithmeticError, ValueError) as error:
            raise misfit(value, hint, error) from error
    if cls.__module__ == "numpy" and isinstance(value, (int, float)):
        return cls(value)
    raise misfit(value, hint)


def is_textual(cls):
    """Whether a class of the standard library is as good as its text: paths, Decimal, UUID."""
    return cls.__module__.partition(".")[0] in ("pathlib", "decimal", "uuid", "fractions")


def is_model(cls):
    """Whether a class is a pydantic model, of version 1 or 2."""
    return hasattr(cls, "model_validate") or (hasattr(cls, "parse_obj") and hasattr(cls, "dict"))


def is_named_tuple(cls):
    """Whether a type is a NamedTuple."""
    return isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")


CONVERTERS = {
    "builtins.NoneType": to_none,
    "builtins.bool": to_bool,
    "builtins.dict": to_dict,
    "builtins.float": to_float,
    "builtins.frozenset": to_sequence,
    "builtins.int": to_int,
    "builtins.list": to_sequence,
    "builtins.set": to_sequence,
    "builtins.str": to_str,
    "builtins.tuple": to_tuple,
    "collections.OrderedDict": to_dict,
    "collections.abc.Collection": to_sequence,
    "collections.abc.Iterable": to_sequence,
    "collections.abc.Mapping": to_dict,
    "collections.abc.MutableMapping": to_dict,
    "collections.abc.MutableSequence": to_sequence,
    "collections.abc.Sequence": to_sequence,
    "collections.abc.Set": to_sequence,
    "datetime.date": to_date,
    "datetime.datetime": to_datetime,
    "datetime.timedelta": to_timedelta,
    "numpy.ndarray": to_array,
    "pandas.DataFrame": to_frame,
    "pandas.core.frame.DataFrame": to_frame,
}
KINDS_OF_CLASSES = (
    (lambda cls: issubclass(cls, LocalPath), to_local_path),
    (lambda cls: cls is StructuredDataset, to_dataset),
    (lambda cls: hasattr(cls, "__members__"), to_enum),
    (is_named_tuple, to_named_tuple),
    (lambda cls: issubclass(cls, dict) and hasattr(cls, "__total__"), to_typed_dict),
    (lambda cls: hasattr(cls, "__dataclass_fields__"), to_dataclass),
    (is_model, to_pydantic),
    (lambda _cls: True, to_class),
)


# -------------------------------------------------------------------------------------- encoding


class Outbox:
    """Turns what the function returned into `outputs.json` and the files beside it."""

    def __init__(self, job):
        self.job = job
        self.root = job.output_dir

    def encode(self, value, slot):
        """A value as the connector reads it; `slot` is its files' place below `files/`.

        Raises:
            OutputError: It cannot leave the job.
        """
        value = without_numpy(value)
        if isinstance(value, float) and not math.isfinite(value):
            return {"float": repr(value)}
        if is_enum(value):
            return self.encode(value.value, slot)
        if value is None or isinstance(value, (bool, int, float)):
            return {"value": value}
        if isinstance(value, str):
            return self.encode_text(value)
        if is_record(value):
            return self.encode(struct_value(value), slot)
        if isinstance(value, dict):
            return self.encode_dict(value, slot)
        if isinstance(value, (list, tuple, set, frozenset)):
            items = [self.encode(item, f"{slot}/{i}") for i, item in enumerate(value)]
            plain = all(list(item) == ["value"] for item in items)
            return {"value": [item["value"] for item in items]} if plain else {"list": items}
        return self.encode_object(value, slot)

    def encode_text(self, text):
        """A string; the connector puts an S3 URI where it is a path of the job's own results."""
        path = real(text)
        if path.startswith("/") and "\0" not in path:
            for tag, root in (("model", self.job.model_dir), ("path", self.root)):
                inner = relative_to(path, root) if root else None
                if inner is not None:
                    existing(path)
                    return {tag: inner}
        return {"value": text}

    def encode_dict(self, values, slot):
        """A mapping, its keys as JSON has them."""
        items = {
            text_key(key): self.encode(item, f"{slot}/{i}")
            for i, (key, item) in enumerate(values.items())
        }
        if all(list(item) == ["value"] for item in items.values()):
            return {"value": {key: item["value"] for key, item in items.items()}}
        return {"map": items}

    def encode_object(self, value, slot):
        """What is neither JSON nor a record."""
        moment = encode_time(value)
        if moment is not None:
            return moment
        if isinstance(value, StructuredDataset):
            if value.uri and (value.path or value.dataframe is None):
                known = {"format": value.format} if value.format else {}
                return {"uri": value.uri, **known}
            return self.encode_frame(value.all(), slot, value.format)
        if is_frame(value):
            return self.encode_frame(value, slot)
        if isinstance(value, os.PathLike):
            return self.encode_path(value, slot)
        if is_textual(type(value)):
            return {"value": str(value)}
        if isinstance(value, bytes):
            return encode_bytes(value)
        msg = (
            f"a value of type {type(value).__name__} cannot leave the job: save it below"
            " current_job().model_dir or to a file, and return that path or a FlyteFile"
        )
        raise OutputError(msg)

    def encode_path(self, value, slot):
        """A file or directory: by reference where SageMaker uploads it anyway, else taken along."""
        source = getattr(value, "remote_source", None)
        if source:
            return {"uri": source}
        path = real(os.path.join(os.getcwd(), os.fspath(value)))
        existing(path)
        tag = self.path_tag(value, path)
        inner = relative_to(path, self.job.model_dir) if self.job.model_dir else None
        if inner is not None:
            return {"model": inner}
        inner = relative_to(path, self.root)
        encoded = {tag: self.take(path, slot, tag) if inner is None else inner}
        if getattr(value, "remote_path", None):
            encoded["remote_path"] = str(value.remote_path)
        return encoded

    def path_tag(self, value, path):
        """Whether a path is a file or a directory, as it says itself and as it is."""
        tag = "directory" if os.path.isdir(path) else "file"
        said = {FlyteFile: "file", FlyteDirectory: "directory"}.get(type(value), tag)
        if said != tag:
            msg = f"{path} is a {tag}, not a {said}"
            raise OutputError(msg)
        return tag

    def place(self, slot):
        """A directory of the result for an output's files."""
        place = os.path.join(self.root, "files", slot)
        os.makedirs(place, exist_ok=True)
        return place

    def take(self, path, slot, tag):
        """Bring a file or directory into the result; returns its path there."""
        if relative_to(self.root, path) is not None:
            msg = f"{path} holds the job's own result: return a directory below it"
            raise OutputError(msg)
        # Inputs are copied: they may be read-only, and belong to somebody else.
        given = self.job.inputs.values()
        link = all(relative_to(path, directory) is None for directory in given)
        place = self.place(slot)
        if tag == "file":
            place = os.path.join(place, os.path.basename(path))
            copy_file(path, place, link)
        else:
            for folder, names, files in os.walk(path, followlinks=True):
                target = os.path.normpath(os.path.join(place, os.path.relpath(folder, path)))
                os.makedirs(target, exist_ok=True)
                names[:] = [name for name in names if not within_itself(folder, name)]
                for name in files:
                    copy_file(os.path.join(folder, name), os.path.join(target, name), link)
        return os.path.relpath(place, self.root)

    def encode_frame(self, frame, slot, format_name=None):
        """A data frame: as declared, else parquet where the image can write it, else CSV."""
        place = self.place(slot)
        if format_name != "csv":
            can_parquet = can_import("pyarrow") or can_import("fastparquet")
            format_name = "parquet" if can_parquet else "csv"
        # flytekit reads all files of a parquet folder, but of CSV this one.
        path = os.path.join(place, ".csv" if format_name == "csv" else "00000.parquet")
        try:
            if format_name == "parquet":
                frame.to_parquet(path)
            else:
                frame.to_csv(path, index=False)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            msg = f"the data frame cannot be written as {format_name}: {error}"
            raise OutputError(msg) from error
        return {"dataframe": os.path.relpath(place, self.root), "format": format_name}

    def encode_array(self, array, slot):
        """A declared numpy array: flytekit's own file format for it."""
        import numpy as np

        path = os.path.join(self.place(slot), "array.npy")
        try:
            np.save(path, array, allow_pickle=False)
        except ValueError as error:
            msg = f"the array cannot be written: {error}"
            raise OutputError(msg) from error
        return {"file": os.path.relpath(path, self.root)}

    def declared(self, name, value, hint):
        """One declared output, checked against its annotation."""
        if value is None and (hint is NOT_ANNOTATED or not takes_none(hint)):
            msg = f"the function returned None, but declares output {name!r}: return its value"
            raise OutputError(msg)
        where = name
        try:
            if hint is not NOT_ANNOTATED:
                value = coerce(value, hint)
            if type(value).__name__ == "ndarray" and declares_array(hint):
                return self.encode_array(value, name)
            if is_frame(value) and annotated_format(hint):
                value = StructuredDataset(dataframe=value)
            if isinstance(value, StructuredDataset):
                value.format = value.format or annotated_format(hint)
            return self.encode(value, name)
        except MisfitError as error:
            where, cause, why = name + "".join(error.steps), error, error
        except RecursionError as error:
            cause, why = error, "the value contains itself, or is nested too deep"
        except (NotAvailableError, OSError, OutputError) as error:
            if is_disk_full(error):
                raise
            cause, why = error, error
        msg = f"output {where!r}: {why}"
        raise OutputError(msg) from cause


def declares_array(hint):
    """Whether a type is that of numpy's arrays, or a union with it."""
    hint = bare(hint)
    origin, args = type_parts(hint)
    name = getattr(origin, "__name__", "")
    return name == "ndarray" or (is_union(hint) and any(map(declares_array, args)))


def is_frame(value):
    """Whether a value is a pandas DataFrame."""
    return type(value).__name__ == "DataFrame" and type(value).__module__.startswith("pandas")


def encode_bytes(value):
    """Bytes as base64: a dataclass may hold some."""
    import base64

    return {"bytes": str(base64.b64encode(value), "ascii")}


def within_itself(folder, name):
    """Whether a link to a directory leads back to one that holds it."""
    path = os.path.join(folder, name)
    return os.path.islink(path) and relative_to(folder, os.path.realpath(path)) is not None


def existing(path):
    """Refuse a path that nothing is at."""
    if not os.path.exists(path):
        msg = f"{path} does not exist: write it before the function returns it"
        raise OutputError(msg)


def can_import(name):
    """Whether a package is installed; it is not imported."""
    from importlib.util import find_spec

    return find_spec(name) is not None


def is_enum(value):
    """Whether a value is a member of an enum."""
    return hasattr(type(value), "__members__") and hasattr(value, "value")


def is_record(value):
    """Whether a value is a dataclass instance or a pydantic model."""
    return hasattr(type(value), "__dataclass_fields__") or is_model(type(value))


def text_key(key):
    """A mapping's key as JSON writes it."""
    if is_enum(key):
        key = key.value
    key = without_numpy(key)
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, (bool, int, float)):
        return json.dumps(key)
    msg = f"a dict's key must be a string or a number, not {brief(key)} ({type(key).__name__})"
    raise OutputError(msg)


def encode_time(value):
    """A datetime, date or timedelta as its own tag; None for any other value."""
    datetime = sys.modules.get("datetime")  # not imported: no value of it can be there
    if datetime is None:
        return None
    if isinstance(value, datetime.timedelta):
        return {"timedelta": value.total_seconds()}
    if isinstance(value, datetime.datetime):
        return {"datetime": value.isoformat()}
    if isinstance(value, datetime.date):
        return {"datetime": value.isoformat() + "T00:00:00"}
    return None


def struct_value(value):
    """A dataclass or pydantic model, at any depth, as a dict of what JSON has, and of files."""
    if hasattr(type(value), "__dataclass_fields__"):
        names = type(value).__dataclass_fields__
        return {name: struct_value(getattr(value, name)) for name in names}
    if is_model(type(value)):
        return struct_value(model_fields(value))
    if isinstance(value, dict):
        return {text_key(key): struct_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [struct_value(item) for item in value]
    if is_enum(value):
        return value.value
    moment = encode_time(value)
    if moment is None:
        return value
    return moment["timedelta"] if "timedelta" in moment else value.isoformat()


def model_fields(model):
    """The fields of a pydantic model, by the names and in the form in which it reads them back."""
    dump = getattr(model, "model_dump", None) or model.dict  # version 2, or 1
    return {key: texts(value) for key, value in dump().items()}


def texts(value):
    """Bytes in a pydantic model as the text that its JSON has for them."""
    if isinstance(value, bytes):
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError as error:
            msg = f"bytes in a pydantic model must be UTF-8: {error}"
            raise OutputError(msg) from error
    if isinstance(value, dict):
        return {key: texts(item) for key, item in value.items()}
    return type(value)(map(texts, value)) if type(value) in (list, tuple, set) else value


NOT_ANNOTATED = object()


def output_hints(hint, count):
    """The annotation of each output, of that of the function's result."""
    annotated, hint = hint, bare(hint)
    if is_named_tuple(hint):
        hints = annotations(hint)
        parts = [hints.get(name, object) for name in hint._fields]
    elif count == 1:
        parts = [annotated]
    else:
        parts = list(type_parts(hint)[1])
    return parts if len(parts) == count else [NOT_ANNOTATED] * count


def split_result(result, names, hint):
    """The values of the declared outputs.

    Raises:
        OutputError: They are not as many as the task declares.
    """
    if not names:
        if result is not None:
            note("the function returned a value, but declares no output; the value is dropped")
        return []
    if len(names) == 1:
        # flytekit: a NamedTuple of one field is a named output, not a tuple.
        named = is_named_tuple(bare(hint)) and isinstance(result, tuple) and len(result) == 1
        return [result[0] if named else result]
    if result is None or not isinstance(result, (list, tuple)) or len(result) != len(names):
        several = isinstance(result, (list, tuple))
        got = f"{len(result)} values" if several else brief(result)
        msg = "the function returned {}, but declares {} outputs ({})".format(
            got, len(names), ", ".join(names)
        )
        raise OutputError(msg)
    return list(result)


def publish(spec, job, result, hint):
    """Write the result: files, the model's code, and last of all `outputs.json`."""
    names = spec["outputs"]
    values = split_result(result, names, hint)
    outbox = Outbox(job)
    hints = output_hints(hint, len(names))
    outputs = {
        name: outbox.declared(name, value, part) for name, value, part in zip(names, values, hints)
    }
    if job.model_dir and os.listdir(job.model_dir):
        pack_model(spec, job.model_dir)
        if "CDAO_MODEL_ARCHIVE" in os.environ:
            archive_model(job.model_dir, os.path.join(job.output_dir, "cdao"))
    document = {
        "version": SPEC_VERSION,
        "job": job.name,
        "outputs": outputs,
        "metrics": job.metrics,
    }
    # Written under another name first: it is there whole, or not at all.
    fresh = result_path(job) + ".new"
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump(document, file, allow_nan=False)
    os.replace(fresh, result_path(job))


def result_path(job):
    """Where the job's result is."""
    return os.path.join(job.output_dir, "outputs.json")


def withdraw_result():
    """Remove the result of an earlier attempt, or of this one if it fails in its last moment."""
    job = STATE["job"]
    if job is not None and job.is_lead and os.path.exists(result_path(job)):
        os.unlink(result_path(job))


# --------------------------------------------------------------------------- the user's function


def user_code(doing, function, *args, **kwargs):
    """Call the user's code: what it raises is theirs, `doing` says when it was raised."""
    STATE["doing"] = doing
    result = function(*args, **kwargs)
    STATE["doing"] = None
    return result


def find_function(entry):
    """The function that an entry point names.

    Raises:
        EntryError: There is none.
    """
    module_name, function_name = entry["module"], entry["function"]
    version = "{}.{}.{}".format(*sys.version_info[:3])
    doing = f"while importing {module_name!r} under Python {version}"
    try:
        found = user_code(doing, importlib.import_module, module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        STATE["doing"] = None
        there = sorted(name for path in CODE_DIRS for name in os.listdir(path))
        msg = "the module {!r} is not in the job's code, which holds: {}".format(
            module_name, ", ".join(there[:10]) or "nothing"
        )
        raise EntryError(msg) from error
    module = found
    for name in function_name.split("."):
        if not hasattr(found, name):
            known = [key for key, value in vars(module).items() if is_function(value)]
            msg = "the module {!r} has no function {!r}; it has: {}".format(
                module_name, function_name, ", ".join(sorted(known)[:10]) or "none"
            )
            raise EntryError(msg)
        found = getattr(found, name)
    if not callable(found) or isinstance(found, StandIn):
        msg = f"{module_name}.{function_name} is {brief(found)}, not a function"
        raise EntryError(msg)
    return found


def is_function(value):
    """Whether a value is a plain function."""
    return type(value) is type(is_function)


def function_hints(function):
    """The annotations of a function; plain classes need no resolving, and no `typing`."""
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    plain = getattr(function, "__annotations__", {})
    if all(type(hint) is type for hint in plain.values()):
        return plain
    return annotations(function)


def read_inputs(spec, function, hints):
    """The function's arguments.

    Raises:
        InputError: One does not fit.
    """
    check_parameters(function, spec["inputs"])
    arguments = {}
    for name, encoded in spec["inputs"].items():
        groups = encoded.get("instance_groups")
        if groups and current_job().instance_group not in groups:
            arguments[name] = None  # its channel goes to other groups of hosts alone
            continue
        try:
            value = decode(encoded)
            if name in hints and not (value is None and default_is_none(function, name)):
                value = coerce(value, hints[name])
        except MisfitError as error:
            msg = "input {!r}: {}".format(name + "".join(error.steps), error)
            raise InputError(msg) from error
        arguments[name] = value
    return arguments


def parameters(function):
    """A plain function's parameters -> their defaults; None for what is not just that.

    (`inspect` costs 10 ms to import.)
    """
    if not is_function(function) or hasattr(function, "__wrapped__"):
        return None
    code = function.__code__
    if code.co_flags & 0x08:  # **kwargs
        return None
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    defaults = function.__defaults__ or ()
    found = dict.fromkeys(names, NOT_ANNOTATED)
    found.update(zip(names[code.co_argcount - len(defaults) : code.co_argcount], defaults))
    found.update(function.__kwdefaults__ or {})
    return found


def default_is_none(function, name):
    """Whether a parameter takes None because that is its default."""
    return (parameters(function) or {}).get(name, NOT_ANNOTATED) is None


def check_parameters(function, inputs):
    """Compare the spec's inputs with the function's parameters."""
    known = parameters(function)
    if known is None:
        return
    extra = [name for name in inputs if name not in known]
    lacking = [name for name in known if name not in inputs and known[name] is NOT_ANNOTATED]
    if extra or lacking:
        what = f"has no parameter {extra[0]!r}" if extra else ""
        what = what or f"needs {lacking[0]!r}, which the job was not given"
        msg = "the function {} {}; its parameters are: {}".format(
            function.__name__, what, ", ".join(known) or "none"
        )
        raise InputError(msg)


def call(function, arguments):
    """Run the function's body; of a coroutine function, to its end."""
    leave_at_once = os._exit
    process = os.getpid()

    def guarded(code):
        """`os._exit(0)` would look like success without a result."""
        if os.getpid() == process and code == 0:
            STATE["doing"] = None
            msg = "the function ended by os._exit before returning its result"
            code = report(OutputError(msg))
        leave_at_once(code)

    os._exit = guarded
    try:
        result = user_code("in the function", function, **arguments)
        if hasattr(result, "__await__"):
            result = user_code("in the function", run_coroutine, result)
    finally:
        os._exit = leave_at_once
    if STATE["stopping"]:  # the body caught even StopRequest
        raise StopRequest
    return result


def run_coroutine(coroutine):
    """asyncio.run, which Python 3.6 has not."""
    import asyncio

    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(coroutine)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


# --------------------------------------------------------------------------------------- failure

TEXT_BYTES = 1000  # SageMaker reads 1,024 characters (training) or 1 KB (processing)
OUT_OF_MEMORY = "the job ran out of memory: choose a larger instance_type, or read data in parts"
DISK_FULL = "the job's disk is full: raise volume_size_gb"


def note(text):
    """A line of ours in the job's log."""
    log(f"[cdao] {text}\n")


def cut(text, limit):
    """At most so many bytes of UTF-8, no character halved."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data
    return data[: limit - 3].decode("utf-8", "ignore").encode("utf-8") + b"..."


def message_of(failure):
    """An exception's own words; its class may be the user's."""
    try:
        return str(failure)
    except Exception as error:  # noqa: BLE001
        return f"<its message failed: {type(error).__name__}>"


def classify(failure):
    """Tag, message and exit code of what ended the job."""
    names = [cls.__name__ for cls in type(failure).__mro__]
    message, doing = message_of(failure), STATE["doing"]
    if isinstance(failure, StopRequest):
        return "INTERRUPTED", "SIGTERM: the job was asked to stop", 143
    if isinstance(failure, KeyboardInterrupt):
        return "INTERRUPTED", "SIGINT: the job was asked to stop", 130
    if isinstance(failure, SystemExit):
        return classify_exit(failure)
    if FlyteRecoverableException.__name__ in names:
        return "RECOVERABLE", message, 1
    if isinstance(failure, MemoryError):
        return "USER", OUT_OF_MEMORY, 1
    if is_disk_full(failure):
        return "USER", f"{DISK_FULL} ({message})", 1
    if isinstance(failure, WorkersFailed):
        return failure.tag, message, failure.code
    if isinstance(failure, UserError):
        return "USER", message, 1
    if doing:
        during = f" ({doing})" if doing != "in the function" else ""
        return "USER", message + during, 1
    return "SYSTEM", message, 1


def is_disk_full(failure):
    """Whether an exception says that no space is left."""
    return isinstance(failure, OSError) and failure.errno == 28  # ENOSPC


def classify_exit(failure):
    """`sys.exit` in the user's code: its code stays, but 0 is no success without a result."""
    message = "ended by sys.exit before returning its result"
    if failure.code is None or failure.code == 0:
        return "USER", message, 1
    if isinstance(failure.code, int):
        return "USER", f"{message} (exit code {failure.code})", failure.code & 0xFF or 1
    return "USER", f"{message}: {failure.code}", 1


def told_traceback(failure, all_frames):
    """The traceback; unless all frames matter without this file's and the import system's."""
    from traceback import TracebackException

    told = TracebackException(type(failure), failure, failure.__traceback__)
    waiting, seen = [] if all_frames else [told], set()
    while waiting:
        part = waiting.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        part.stack[:] = [frame for frame in part.stack if not is_own_frame(frame)]
        waiting += [part.__cause__, part.__context__]
        waiting += getattr(part, "exceptions", None) or []
    return told


def is_own_frame(frame):
    """Whether a frame is not the user's business."""
    name = frame.filename
    return name in (__file__, HERE) or name.startswith("<frozen ") or name == importlib.__file__


def frame_lines(stack):
    """The innermost frames of the user's own modules, the innermost first."""
    ours = [(relative_in_code(frame.filename), frame) for frame in stack]
    chosen = [(path, frame) for path, frame in ours if path]
    chosen = chosen or [(os.path.basename(frame.filename), frame) for frame in stack]
    return [
        f"  {path}:{frame.lineno} in {frame.name}: {frame.line}"
        for path, frame in reversed(chosen[-3:])
    ]


def relative_in_code(path):
    """A file's path below the user's code, None where it is not there."""
    return next(filter(None, (relative_to(path, folder) for folder in CODE_DIRS)), None)


def report(failure):
    """Tell the log, SageMaker and the connector what ended the job; returns the exit code."""
    tag, message, code = classify(failure)
    if isinstance(failure, WorkersFailed) and failure.told:
        return code
    lines = failure.frames if isinstance(failure, FlytekitFailed) else []
    if not isinstance(failure, (UserError, PlatformError, StopRequest, WorkersFailed)):
        told = told_traceback(failure, all_frames=tag == "SYSTEM")  # then the fault is ours
        lines = frame_lines(told.stack)
        log("".join(told.format()))
    title = failure.title if isinstance(failure, FlytekitFailed) else type(failure).__name__
    head = f"[cdao:{tag}] {title}: {message}"
    text = cut(head, TEXT_BYTES - 300 if lines else TEXT_BYTES)
    log(text.decode("utf-8") + "\n")
    if lines:  # the log has them in its traceback
        text = cut("\n".join([text.decode("utf-8"), *lines]), TEXT_BYTES)
    if WORKER not in os.environ or claim_failure(failure, code):
        write_failure(text, keep_first=isinstance(failure, StopRequest))
    return code


def log(text):
    """Text for the job's log, whatever state that is in."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        pass  # there is no log any more; the failure file still is


def write_failure(text, keep_first):
    """The text where SageMaker looks for it: training's place, and processing's."""
    folder = os.path.join(OPT_ML, "output")
    for name in ("failure", "message"):
        path = os.path.join(folder, name)
        # A launcher stops the other processes after one has failed: that one's text counts.
        if keep_first and os.path.exists(path):
            continue
        try:
            os.makedirs(folder, exist_ok=True)
            with open(path, "wb") as file:
                file.write(text)
        except OSError as error:
            note(f"{path} could not be written: {error}")


# --------------------------------------------------------------------------------------- signals


def forking(fork, in_child):
    """`os.fork`, with something to do in the child."""

    def forked():
        pid = fork()
        if pid == 0:
            in_child()
        return pid

    return forked


def handle_stop():
    """SIGTERM raises StopRequest, also as process 1, where the kernel has no default for it."""
    import signal

    process = os.getpid()

    def stop(number, _frame):
        if os.getpid() != process:  # a forked worker: as if we had not been here
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        signal.signal(number, signal.SIG_IGN)  # `finally` blocks run to their end
        STATE["stopping"] = True
        if WORKER in os.environ:
            open(worker_file() + STOPPING, "w").close()
        if not (STATE["polls"] or STATE["starts"]):
            raise StopRequest

    def forget():
        # A handler of Python's is deaf while a worker is about to wait in native code: a pool that
        # ends its workers by SIGTERM would now and then wait for one for ever.
        if signal.getsignal(signal.SIGTERM) is stop:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, stop)
    at_fork = getattr(os, "register_at_fork", None)
    if at_fork is not None:
        at_fork(after_in_child=forget)
    else:  # Python 3.6
        os.fork = forking(os.fork, forget)


# ----------------------------------------------------------------------------- several processes
# A launcher (torchrun, mpirun, smddprun) starts this file again, once for each process: a worker.
# The file of the first process launches, and answers for the workers of its host.

WORKER = "CDAO_WORKER"  # a variable of the workers
WORKERS = os.path.join(OPT_ML, "output", "cdao-workers")  # a file for each that runs
FAILED = os.path.join(WORKERS, "failed")  # of the first one that failed
AGENT = "--cdao-agent"
BLAME_SECONDS = 5
STOPPING = ".stopping"  # a worker that has noticed that it is to stop
LINGER_SECONDS = 110  # SageMaker kills 120 s after it asked a job to stop
NOTICE_SECONDS = 10  # for one that has not: it may wait, in native code, for this very process
CONNECT_SECONDS = 1200  # hosts do not start at the same time
REQUEST_SECONDS = 30  # in which one that connects must have sent its signed request
REQUEST_CHARACTERS = 1 << 20
LOST_PEER = re.compile(r"connection|broken pipe|peer|socket|nccl|timed? ?out", re.IGNORECASE)
# Source: aws/sagemaker-training-toolkit, which sets the same.
RDMA_INSTANCES = re.compile(r"ml\.(p4de?|p5e?n?|trn1n?)\.")


def launch(distribution, job, where):
    """Run the workers of this host to their end.

    Args:
        distribution: The spec's: a `kind`, and `processes_per_host` where it is no default.
        job: The job.
        where: The spec's path.

    Raises:
        WorkersFailed: One failed.
        UserError: The image lacks the launcher.
    """
    import shutil

    shutil.rmtree(WORKERS, ignore_errors=True)
    os.makedirs(WORKERS)
    kind = distribution["kind"]
    given = distribution.get("processes_per_host") or int(os.environ.get("SM_NUM_GPUS") or 0)
    count = given or job.num_gpus or 1
    if kind == "torchrun":
        code = run_launcher(kind, torchrun_command(job, count, where), worker_environment(kind))
    else:
        code = run_mpi(kind, job, count, where)
    if code:
        raise workers_failed(kind, code)


def worker_environment(kind, job=None):
    """The variables of the workers, and of their launcher."""
    values = dict(os.environ)
    values[WORKER] = kind
    if kind == "smddp":
        several = len(job.hosts) > 1
        values["SMDATAPARALLEL_USE_HOMOGENEOUS" if several else "SMDATAPARALLEL_USE_SINGLENODE"] = (
            "1"
        )
        values.update(FI_PROVIDER="efa", RDMAV_FORK_SAFE="1")
        if several:
            values["SMDATAPARALLEL_SERVER_ADDR"] = job.master_address
            values["SMDATAPARALLEL_SERVER_PORT"] = "7592"
            values["SAGEMAKER_INSTANCE_TYPE"] = job.instance_type
        if RDMA_INSTANCES.match(job.instance_type):
            values["FI_EFA_USE_DEVICE_RDMA"] = "1"
    host_name = "" if kind == "torchrun" else file_of("gethostname")
    if host_name:
        # In AWS's images: the container's own name is not the one that other hosts know it by.
        values["LD_PRELOAD"] = host_name
    return values


def file_of(module):
    """A module's file, not loaded; "" where there is none."""
    from importlib.util import find_spec

    spec = find_spec(module)
    return (spec.origin or "") if spec is not None else ""


def torchrun_command(job, count, where):
    """PyTorch's launcher, by the module that this version of PyTorch has it in."""
    folder = os.path.join(os.path.dirname(file_of("torch")), "distributed")
    if os.path.exists(os.path.join(folder, "run.py")):
        options = ["torch.distributed.run", "--max_restarts", "0"]
    elif os.path.exists(os.path.join(folder, "launch.py")):  # before PyTorch 1.9
        options = ["torch.distributed.launch", "--use_env"]
    else:
        msg = (
            "distribution='torchrun' needs PyTorch in the image, and there is none: give the task"
            " framework='pytorch', or an image with PyTorch"
        )
        raise UserError(msg)
    rendezvous = {
        "nnodes": len(job.hosts),
        "node_rank": job.rank,
        "nproc_per_node": count,
        "master_addr": job.master_address,
        "master_port": job.master_port,
    }
    for option, value in rendezvous.items():
        options += ["--" + option, str(value)]
    return [sys.executable, "-m", *options, *worker(where)]


def worker(where):
    """The command of a worker, after the interpreter."""
    return [HERE, "--spec", where]


def mpi_command(kind, job, count, where):
    """Open MPI's launcher; the agent takes the place of ssh."""
    import shutil

    if kind == "smddp" and shutil.which("smddprun") is None:
        msg = (
            "distribution='smddp' needs SageMaker's data parallel library in the image, and there"
            " is no smddprun: take one of AWS's PyTorch images for GPUs, or distribution='torchrun'"
        )
        raise UserError(msg)
    settings = {
        "plm_rsh_agent": f"{sys.executable} {HERE} {AGENT} {where}",
        "plm_rsh_no_tree_spawn": "1",
        "plm_rsh_num_concurrent": str(len(job.hosts)),
        "pml": "ob1",
        "btl": "^openib",
        "btl_vader_single_copy_mechanism": "none",
        "orte_abort_on_non_zero_status": "1",
    }
    if job.network_interface:
        settings["btl_tcp_if_include"] = settings["oob_tcp_if_include"] = job.network_interface
    command = ["mpirun", "-np", str(count * len(job.hosts)), "--allow-run-as-root"]
    command += ["--leave-session-attached", "--oversubscribe", "-bind-to", "none"]
    for name, value in settings.items():
        command += ["-mca", name, value]
    if len(job.hosts) > 1:
        command += ["-map-by", "slot", "--host"]
        command.append(",".join(f"{address_of(host)}:{count}" for host in job.hosts))
    smddprun = ["smddprun"] if kind == "smddp" else []
    return [*command, *smddprun, sys.executable, *worker(where)]


def run_launcher(kind, command, environment):
    """Run a launcher to its end, and return its exit code.

    SIGTERM goes to the workers themselves: launchers leave them but seconds to save what they have.
    """
    import subprocess

    note("starting: " + " ".join(command))
    process = None
    try:
        with starting():
            process = subprocess.Popen(command, env=environment, start_new_session=True)
        code = process.wait()
    except OSError as error:
        msg = f"distribution={kind!r} needs {command[0]} in the image: {error}"
        raise UserError(msg) from error
    except StopRequest:
        if process is not None:
            stop_workers(lambda: process.poll() is None, process.terminate)
        raise
    return code if code >= 0 else 128 - code


class starting:  # noqa: N801 # a context, as contextlib's are named
    """Starts a process: a stop waits until it is known, or nobody could pass the stop on to it."""

    def __enter__(self):
        STATE["starts"] = True

    def __exit__(self, kind, *_):
        STATE["starts"] = False
        if STATE["stopping"] and kind is None:
            raise StopRequest


def running_workers():
    """Process ids of this host's workers that have not ended."""
    pids = [int(name) for name in os.listdir(WORKERS) if name.isdigit()]
    return [pid for pid in pids if is_running(pid)]


def is_running(pid):
    """Whether a process of the job is there."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def stop_workers(is_launched, give_up):
    """Pass SIGTERM on to each worker, late ones too, until the launcher has ended."""
    import signal
    import time

    asked, begun = set(), time.time()
    while is_launched():
        for pid in set(running_workers()) - asked:
            asked.add(pid)
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue  # it has just ended by itself
        if not asked and time.time() - begun > 1:
            give_up()
        time.sleep(0.05)


def workers_failed(kind, code):
    """Why workers failed: in the words of the first one, unless it had none."""
    try:
        with open(FAILED, encoding="utf-8") as file:
            return WorkersFailed("", json.load(file)["code"], told=True)
    except (OSError, ValueError):
        pass  # then nobody said a word
    lost = [name for name in os.listdir(WORKERS) if name.isdigit()]
    msg = f"the launcher of distribution={kind!r} ended with exit code {code}; see the log"
    if lost:
        msg = (
            f"{len(lost)} of the processes of distribution={kind!r} on this host ended without a"
            " word: killed, perhaps for want of memory, or crashed in native code; see the log"
        )
    return WorkersFailed(msg, code)


# As a worker


def worker_file():
    """The file that says that this worker runs."""
    return os.path.join(WORKERS, str(os.getpid()))


def sign_on():
    """A worker's first deed: be known to the process that launched it."""
    if WORKER in os.environ:
        os.makedirs(WORKERS, exist_ok=True)
        open(worker_file(), "w").close()


def sign_off():
    """A worker's last deed.

    One that was stopped waits for the others of its host that save what they have: a launcher kills
    them once one has ended.
    """
    import time

    if WORKER not in os.environ or not os.path.exists(worker_file()):
        return
    os.replace(worker_file(), worker_file() + ".done")
    begun = time.time()
    others = running_workers() if STATE["stopping"] else []
    while others and time.time() < begun + LINGER_SECONDS:
        saving = [
            pid for pid in others if os.path.exists(os.path.join(WORKERS, f"{pid}{STOPPING}"))
        ]
        if not saving and time.time() > begun + NOTICE_SECONDS:
            break
        time.sleep(0.05)
        others = running_workers()


def blamed(failure):
    """What ended a worker; that it lost another one counts only if that one says nothing itself."""
    import time

    own = isinstance(failure, (UserError, StopRequest, SystemExit))
    if WORKER not in os.environ or own or not LOST_PEER.search(message_of(failure)):
        return failure
    until = time.time() + BLAME_SECONDS
    try:
        while time.time() < until and not os.path.exists(FAILED):
            time.sleep(0.05)
    except StopRequest as stop:
        return stop
    return failure


def claim_failure(failure, code):
    """Whether this worker is the first of its host that failed."""
    if isinstance(failure, StopRequest):
        return False
    try:
        with open(FAILED, "x", encoding="utf-8") as file:
            json.dump({"code": code}, file)
    except FileExistsError:
        return False
    return True


# MPI between hosts. Open MPI starts its daemons by a remote shell. Ours needs no sshd, no keys and
# no root: each host listens, and does what a request says that is signed with the job's own spec.


def run_mpi(kind, job, count, where):
    """Run mpirun on the lead host, and let it start what it needs on the others."""
    import threading

    environment = worker_environment(kind, job)
    if len(job.hosts) == 1:
        return run_launcher(kind, mpi_command(kind, job, count, where), environment)
    over = threading.Event()
    listen(job, where, lambda request: obey(request, environment), over)
    if job.is_lead:
        code = 1
        try:
            code = run_launcher(kind, mpi_command(kind, job, count, where), environment)
        finally:
            failures = [ask(job, where, host, {"end": code}) for host in job.hosts[1:]]
        for failure in filter(None, failures):
            if not os.path.exists(FAILED):
                write_failure(failure["text"].encode("utf-8"), keep_first=False)
                with open(FAILED, "w", encoding="utf-8") as file:
                    json.dump({"code": failure["code"]}, file)
        return code
    try:
        while not over.wait(1):
            pass
    except StopRequest:
        stop_workers(lambda: bool(running_workers()), lambda: None)
        raise
    return 1 if os.path.exists(FAILED) else 0


def obey(request, environment):
    """Do what the lead host asks for."""
    import subprocess

    if "command" in request:
        process = subprocess.Popen(
            ["/bin/sh", "-c", request["command"]],
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        return process.wait()
    try:
        with open(FAILED, encoding="utf-8") as file:
            code = json.load(file)["code"]
        with open(os.path.join(OPT_ML, "output", "failure"), encoding="utf-8") as file:
            return {"code": code, "text": file.read()}
    except (OSError, ValueError):
        return None


def agent_place(job, host):
    """Address and port where a host listens."""
    return address_of(host), job.master_port + 1 + job.hosts.index(host)


def signature(where, nonce, text):
    """A keyed hash of a request: whoever can read the job's spec may give the job orders."""
    import hmac

    with open(where, "rb") as file:
        signed = "{}\n{}".format(nonce, text)
        return hmac.new(file.read(), signed.encode("utf-8"), "sha256").hexdigest()


def listen(job, where, answer, over):
    """Take requests from now on, each in a thread; the last one says that all is over."""
    import hmac
    import socket
    import threading

    def serve(connection):
        connection.settimeout(REQUEST_SECONDS)
        with connection, connection.makefile("rw", encoding="utf-8") as stream:
            nonce = os.urandom(16).hex()  # so that no request can be sent a second time
            stream.write(nonce + "\n")
            stream.flush()
            signed, _, text = stream.readline(REQUEST_CHARACTERS).rstrip("\n").partition(" ")
            if hmac.compare_digest(signed.encode(), signature(where, nonce, text).encode()):
                connection.settimeout(None)
                request = json.loads(text)
                try:
                    stream.write(json.dumps(answer(request)) + "\n")
                    stream.flush()
                finally:  # not before: with that this process ends
                    if "end" in request:
                        over.set()
            else:
                note("a request from elsewhere was turned away")

    def guarded(connection):
        try:
            serve(connection)
        except (OSError, ValueError) as error:  # gone, silent, or no text
            note("a connection of another host ended: {}".format(error))

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=guarded, args=[connection], daemon=True).start()

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(agent_place(job, job.current_host))
    except OSError as error:
        msg = f"{job.current_host} cannot listen for the other hosts: {error}"
        raise PlatformError(msg) from error
    listener.listen(16)
    threading.Thread(target=accept, daemon=True).start()


def ask(job, where, host, request):
    """Send a request to a host, and return its answer; None where it went away."""
    text = json.dumps(request)
    try:
        with connected(agent_place(job, host)) as stream:
            nonce = stream.readline(REQUEST_CHARACTERS).rstrip("\n")
            stream.write("{} {}\n".format(signature(where, nonce, text), text))
            stream.flush()
            return json.loads(stream.readline(REQUEST_CHARACTERS))
    except (OSError, ValueError):
        return None


def connected(place):
    """A stream to a host, which may not be up yet."""
    import socket
    import time

    until = time.time() + CONNECT_SECONDS
    while True:
        try:
            connection = socket.create_connection(place)
        except OSError:
            if time.time() > until or STATE["stopping"]:
                raise
            time.sleep(0.2)
        else:
            with connection:
                return connection.makefile("rw", encoding="utf-8")


def run_remotely(arguments):
    """What mpirun calls in place of ssh: `--cdao-agent <spec> <host> <command>...`."""
    where, address, command = arguments[1], arguments[2], arguments[3:]
    job = Job(read_spec(where))
    host = next(name for name in job.hosts if address in (name, address_of(name)))
    code = ask(job, where, host, {"command": " ".join(command)})
    return 255 if code is None else code


# ------------------------------------------------------------------------------ flytekit's runtime

TRACE_FRAME = re.compile(r'File "(.*?)", line (\d+), in (\S+)\n\s+(.*)')


def run_flytekit(call, job):
    """Let the image's own flytekit run the function: no stand-ins, flytekit's own files."""
    import shutil
    import subprocess

    command = flytekit_command(call["args"], job)
    if shutil.which(command[0]) is None:
        msg = (
            f"runtime='flytekit' needs flytekit in the image, and there is no {command[0]!r} on its"
            " PATH: install flytekit there, or leave runtime out"
        )
        raise UserError(msg)
    scratch = scratch_directory()
    environment = dict(os.environ, **call["environment"])
    # It ends well even where the function failed, unless it is told otherwise; and what it says of
    # an error is in a file of its temporary folder.
    environment.update(FLYTE_FAIL_ON_ERROR="true", TMPDIR=scratch, CDAO_RUNNER=HERE)
    environment.setdefault("FLYTE_SDK_LOGGING_FORMAT", "plain")  # people read this log
    process = None
    try:
        with starting():
            process = subprocess.Popen(command, env=environment)
        code = process.wait()
    except BaseException:
        if process is not None:
            process.terminate()
            process.wait()
        raise
    failure = flytekit_failure(scratch, code)
    if failure is not None:
        raise failure


def flytekit_command(arguments, job):
    """The command of this host. All hosts run the function; only the lead's outputs are Flyte's."""
    command = list(arguments)
    if not job.is_lead and "--output-prefix" in command:
        place = command.index("--output-prefix") + 1
        command[place] = "{}/hosts/{}".format(command[place].rstrip("/"), job.current_host)
    return command


def flytekit_failure(scratch, code):
    """What went wrong, by the error file that flytekit wrote before it uploaded it; or None."""
    import glob

    found = glob.glob(os.path.join(scratch, "**", "engine_dir", "error.pb"), recursive=True)
    if found:
        with open(max(found, key=os.path.getmtime), "rb") as file:
            return told_by_flytekit(file.read(), code or 1)
    if not code:
        return None
    code = code if code > 0 else 128 - code
    why = f"it ended with exit code {code} and without an error of the function's; see the log"
    return FlytekitFailed("pyflyte-execute", why, "RECOVERABLE", code)


def told_by_flytekit(content, code):
    """The failure that an error.pb holds: flyteidl's `core/errors.proto`."""
    try:
        fields = protobuf_fields(protobuf_fields(content)[1])
        text = fields[2].decode("utf-8")
    except (LookupError, ValueError, AttributeError):
        why = "it wrote an error file that cannot be read; see the log"
        return FlytekitFailed("pyflyte-execute", why, "USER", code)
    trace, _, message = text.rpartition("\nMessage:\n")
    title, _, why = " ".join(message.split()).partition(": ")
    frames = [
        f"  {os.path.basename(path)}:{line} in {name}: {source}"
        for path, line, name, source in TRACE_FRAME.findall(trace)
        if not re.search(r"[/\\](flytekit|cdao_sdk|site-packages)[/\\]", path)
    ]
    recoverable, system = fields.get(3) == 1, fields.get(4) == 2
    tag = ("SYSTEM" if system else "RECOVERABLE") if recoverable else "USER"
    return FlytekitFailed(title, why, tag, code, frames[:-4:-1])


def protobuf_fields(content):
    """A protobuf message's fields by number: bytes or integers.

    Raises:
        ValueError, IndexError: It is no message.
    """
    fields, position = {}, 0
    while position < len(content):
        key, position = varint(content, position)
        if key & 7 == 0:
            fields[key >> 3], position = varint(content, position)
        elif key & 7 == 2:
            size, position = varint(content, position)
            fields[key >> 3] = content[position : position + size]
            position += size
        else:
            msg = f"wire type {key & 7}"
            raise ValueError(msg)
    return fields


def varint(content, position):
    """A number of seven bits a byte, and the position after it."""
    value = shift = 0
    while True:
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if not byte & 0x80:
            return value, position


# --------------------------------------------------------------------------------- model packing

INFERENCE = '''"""How this model is served. CDAO SDK wrote it where you had none."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cdao_runner

_serving = cdao_runner.serving(__file__, __name__, {handlers})
{functions}
'''
HANDLERS = ("model_fn", "input_fn", "predict_fn", "output_fn")
USER_CODE = "cdao_user_code"  # a folder of its own: a user's module may be called `inference`


def pack_model(spec, model_dir):
    """Put into the model what serves it, unless the user's own code/inference.py is there."""
    code = os.path.join(model_dir, "code")
    script = os.path.join(code, "inference.py")
    if os.path.exists(script):
        return
    handlers = spec.get("handlers") or {}
    names = ("model_fn", "transform_fn") if "transform_fn" in handlers else HANDLERS
    functions = "\n".join(f"{name} = _serving[{name!r}]" for name in names)
    user_code_dir = os.path.join(code, USER_CODE)
    os.makedirs(user_code_dir, exist_ok=True)
    for source in map(located, spec["code"]):
        if os.path.isdir(source):
            copy_code(source, user_code_dir)
        else:
            unpack(source, user_code_dir)
    copy_file(HERE, os.path.join(code, "cdao_runner.py"))
    with open(script, "w", encoding="utf-8") as file:
        file.write(INFERENCE.format(handlers=handlers, functions=functions))


def archive_model(model_dir, folder):
    """The model as SageMaker itself would pack it, beside the one that it uploads unpacked."""
    import tarfile

    os.makedirs(folder, exist_ok=True)
    with tarfile.open(os.path.join(folder, "model.tar.gz"), "w:gz", compresslevel=1) as archive:
        for name in sorted(os.listdir(model_dir)):
            archive.add(os.path.join(model_dir, name), name)


def copy_code(source, target):
    """Copy the user's modules; compiled files and a repository's own are no use there."""
    for folder, names, files in os.walk(source):
        names[:] = [name for name in names if name not in ("__pycache__", ".git")]
        place = os.path.normpath(os.path.join(target, os.path.relpath(folder, source)))
        os.makedirs(place, exist_ok=True)
        for name in files:
            copy_file(os.path.join(folder, name), os.path.join(place, name))


# --------------------------------------------------------------------------------------- serving
# What follows runs where the model is served: this file is `cdao_runner` there.


def serving(script, wrapper_name, handlers):
    """The functions of `code/inference.py`.

    Args:
        script: Its path.
        wrapper_name: The name under which it is being imported.
        handlers: Handler's name -> entry point of the user's function.

    Returns:
        Handler's name -> the user's function, or the default.
    """
    CODE_DIRS[:] = [os.path.join(os.path.dirname(os.path.abspath(script)), USER_CODE)]
    if CODE_DIRS[0] not in sys.path:
        sys.path.insert(0, CODE_DIRS[0])
    install_stand_ins()
    functions = {
        "model_fn": model_fn,
        "input_fn": input_fn,
        "predict_fn": predict_fn,
        "output_fn": output_fn,
    }
    clash = any(entry["module"] == wrapper_name for entry in handlers.values())
    wrapper = sys.modules.pop(wrapper_name) if clash else None
    try:
        functions.update({name: find_function(entry) for name, entry in handlers.items()})
    finally:
        if clash:
            # Pickles look up the user's classes in the module of this name.
            for key, value in vars(sys.modules.get(wrapper_name, wrapper)).items():
                vars(wrapper).setdefault(key, value)
            sys.modules[wrapper_name] = wrapper
    return functions


def model_fn(model_dir):
    """Load the model, where there is one that says by its name how to."""
    names = sorted(os.listdir(model_dir))
    for choose in (lambda name: name.startswith("model."), lambda _name: True):
        found = [name for name in names if choose(name) and loader(model_dir, name)]
        if len(found) == 1:
            return loader(model_dir, found[0])(os.path.join(model_dir, found[0]))
        if found:
            msg = "which of {} is the model? Name a handler model_fn".format(", ".join(found))
            raise ValueError(msg)
    msg = "no default can load a model of these files: {}; name a handler model_fn".format(
        ", ".join(names)
    )
    raise ValueError(msg)


def loader(model_dir, name):
    """The function that loads a file as a model, None where none does."""
    path = os.path.join(model_dir, name)
    if os.path.isdir(path):
        return None
    if name == "xgboost-model" or name.endswith((".ubj", ".bst")):
        return load_booster
    if name.endswith(".json"):
        with open(path, "rb") as file:
            return load_booster if b'"learner"' in file.read(4096) else None
    return load_pickle if name.endswith((".joblib", ".pkl", ".pickle")) else None


def load_pickle(path):
    """joblib's or pickle's file."""
    if can_import("joblib"):
        import joblib

        return joblib.load(path)
    import pickle

    with open(path, "rb") as file:
        return pickle.load(file)


def load_booster(path):
    """XGBoost's own formats, and the pickle that its old built-in algorithm writes."""
    import xgboost

    booster = xgboost.Booster()
    try:
        booster.load_model(path)
    except xgboost.core.XGBoostError:
        return load_pickle(path)
    return booster


def media_type(content_type):
    """A content type without its parameters."""
    return (content_type or "").partition(";")[0].strip().lower()


def input_fn(body, content_type):
    """Records of a request."""
    kind = media_type(content_type)
    if kind == "application/x-npy":
        import io

        import numpy as np

        return np.load(io.BytesIO(body), allow_pickle=False)
    text = body.decode("utf-8") if isinstance(body, (bytes, bytearray)) else body
    if kind in ("text/csv", ""):
        return read_csv(text)
    if kind == "application/json":
        values = json.loads(text)
        return table(values["instances"] if is_instances(values) else values)
    if kind in ("application/jsonlines", "application/jsonl"):
        return table([json.loads(line) for line in text.splitlines() if line.strip()])
    msg = f"content type {content_type!r} needs a handler input_fn; the default reads text/csv"
    raise ValueError(msg)


def is_instances(values):
    """Whether JSON is of the form {"instances": [...]}."""
    return isinstance(values, dict) and "instances" in values


def read_csv(text):
    """A DataFrame without header; without pandas a numpy array."""
    import io

    if can_import("pandas"):
        import pandas as pd

        return pd.read_csv(io.StringIO(text), header=None)
    import numpy as np

    return np.loadtxt(io.StringIO(text), delimiter=",", ndmin=2)


def table(records):
    """Records of JSON as a DataFrame (of objects) or a numpy array (of rows)."""
    objects = isinstance(records, list) and records and isinstance(records[0], dict)
    if objects and can_import("pandas"):
        import pandas as pd

        return pd.DataFrame(records)
    if isinstance(records, list) and not objects and can_import("numpy"):
        import numpy as np

        return np.asarray(records)
    return records


def predict_fn(data, model):
    """The model's `predict`; the columns get the names that it was trained with."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        names = getattr(model, "feature_names", None)
    unnamed = hasattr(data, "columns") and all(isinstance(name, int) for name in data.columns)
    if unnamed and names is not None and len(names) == len(data.columns):
        data.columns = list(names)
    if type(model).__name__ == "Booster":
        import xgboost

        if not hasattr(data, "columns"):
            return model.predict(xgboost.DMatrix(data, feature_names=names))
        data = xgboost.DMatrix(data)
    return model.predict(data)


def output_fn(prediction, accept):
    """The predictions' text and its content type: CSV lines unless JSON is asked for."""
    accepted = [media_type(part) for part in (accept or "").split(",")]
    if hasattr(prediction, "columns"):
        prediction = prediction.values
    rows = prediction.tolist() if hasattr(prediction, "tolist") else prediction
    for kind in accepted:
        if kind == "application/json":
            return json.dumps(rows), kind
        rows = rows if isinstance(rows, (list, tuple)) else [rows]
        if kind in ("application/jsonlines", "application/jsonl"):
            return "\n".join(json.dumps(row) for row in rows), kind
        if kind in ("text/csv", "*/*", "text/*", ""):
            return csv_lines(rows), "text/csv"
    msg = f"accept {accept!r} needs a handler output_fn; the default writes text/csv"
    raise ValueError(msg)


def csv_lines(rows):
    """CSV without a newline at the end: SageMaker adds it when it assembles the records."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(row if isinstance(row, (list, tuple)) else [row] for row in rows)
    return text.getvalue().rstrip("\n")


# ------------------------------------------------------------------------------------------ main


def spec_path(arguments):
    """Where the spec is."""
    if "--spec" in arguments[:-1]:
        return arguments[arguments.index("--spec") + 1]
    places = [os.path.join(os.path.dirname(os.path.dirname(HERE)), "cdao-job", "spec.json")]
    # A toolkit that starts this file has copied it elsewhere.
    places += [
        os.path.join(OPT_ML, folder, "cdao-job", "spec.json")
        for folder in ("input/data", "processing/input")
    ]
    return next((path for path in places if os.path.exists(path)), places[0])


def read_spec(path):
    """The job's spec, its paths made real."""
    try:
        with open(path, encoding="utf-8") as file:
            spec = json.load(file)
        if spec["version"] != SPEC_VERSION:
            msg = "the job's spec is of version {!r}; this runtime knows {}".format(
                spec["version"], SPEC_VERSION
            )
            raise PlatformError(msg)
        missing = {"entry", "code", "inputs", "outputs", "result_dir"} - set(spec)
        if missing:
            msg = "the job's spec lacks {}".format(", ".join(sorted(missing)))
            raise PlatformError(msg)
    except (OSError, ValueError, LookupError, TypeError) as error:
        msg = f"the job's spec cannot be read: {path}: {error}"
        raise PlatformError(msg) from error
    return rewritten(spec)


def run(arguments):
    """The job, from its spec to its result."""
    where = os.path.abspath(spec_path(arguments))
    spec = read_spec(where)
    job = STATE["job"] = Job(spec)
    withdraw_result()
    for path in filter(None, (job.model_dir, job.output_dir, job.checkpoint_dir)):
        os.makedirs(path, exist_ok=True)
    export_environment(job)
    os.environ["CDAO_SPEC"] = where
    export_secrets(job.secret_references, bool(spec.get("flytekit")))
    if spec.get("flytekit"):
        run_flytekit(spec["flytekit"], job)
        return
    if spec.get("distribution") and WORKER not in os.environ:
        launch(spec["distribution"], job, where)
        return
    add_code(spec["code"])
    os.environ["CDAO_CODE"] = os.pathsep.join(CODE_DIRS)
    install_stand_ins()
    function = find_function(spec["entry"])
    hints = function_hints(function)
    result = call(function, read_inputs(spec, function, hints))
    if job.is_lead:
        publish(spec, job, result, hints.get("return", NOT_ANNOTATED))


def main():
    """Run the job, and end the process."""
    if sys.stderr is not None:
        faulthandler.enable()  # where a crash of a C extension happened
    if hasattr(sys.stdout, "reconfigure"):  # Python 3.7
        sys.stdout.reconfigure(line_buffering=True)  # what is printed is seen while the job runs
    arguments, sys.argv[1:] = sys.argv[1:], []
    if arguments[:1] == [AGENT]:
        sys.exit(run_remotely(arguments))
    try:
        handle_stop()
        sign_on()
        run(arguments)
        code = 0
    except BaseException as failure:  # noqa: BLE001  all of them end the job, and are told
        code = report(blamed(failure))
        withdraw_result()
    sign_off()
    leave(code)


EXIT_SECONDS = 5


def leave(code):
    """End the process, its log written out, even if nobody reads that any more."""
    import signal

    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))  # while threads are waited for
    os.chdir("/")
    if SCRATCH:
        import shutil

        for path in SCRATCH:
            shutil.rmtree(path, ignore_errors=True)
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)  # else Python's own flush fails too
    if code:
        import threading

        # Threads and exit handlers of the user's code must not keep a failed job running.
        watchdog = threading.Timer(EXIT_SECONDS, os._exit, [code])
        watchdog.daemon = True
        watchdog.start()
    sys.exit(code)


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__":
    # A worker that the user's code started by multiprocessing's spawn.
    CODE_DIRS[:] = filter(None, os.environ.get("CDAO_CODE", "").split(os.pathsep))
    install_stand_ins()
