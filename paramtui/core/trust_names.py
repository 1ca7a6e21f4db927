"""Names of classes and functions that pickles refer to: the usual ones, and those that run code.

The usual ones are what PyTorch, NumPy and Python rebuild plain data with. Those that run code are what
pickles were seen to attack with: Python's own ways to run a command or a text, to fetch from a network, and
to reach one of these by an attribute.
"""

from __future__ import annotations

from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TENSORS: Final = """
_utils._rebuild_tensor _utils._rebuild_tensor_v2 _utils._rebuild_tensor_v3 _utils._rebuild_parameter
_utils._rebuild_parameter_with_state _utils._rebuild_qtensor _utils._rebuild_sparse_tensor
_utils._rebuild_sparse_csr_tensor _utils._rebuild_nested_tensor _utils._rebuild_meta_tensor_no_storage
_utils._rebuild_wrapper_subclass _utils._rebuild_device_tensor_from_numpy _utils._rebuild_xla_tensor
_utils._rebuild_device_tensor_from_cpu_tensor _tensor._rebuild_from_type _tensor._rebuild_from_type_v2
nested._internal.nested_tensor._rebuild_njt _dynamo.decorators._DimRange serialization._get_layout
Size device dtype Tensor layout
nn.parameter.Parameter nn.parameter.Buffer nn.parameter.UninitializedParameter
nn.parameter.UninitializedBuffer storage.UntypedStorage storage.TypedStorage UntypedStorage
storage._UntypedStorage storage._TypedStorage strided sparse_coo sparse_csr sparse_csc sparse_bsr sparse_bsc
jagged _mkldnn per_tensor_affine per_channel_affine per_tensor_symmetric per_channel_symmetric
per_channel_affine_float_qparams contiguous_format channels_last channels_last_3d preserve_format
_C._nn.gelu nn.functional.relu nn.functional.gelu nn.functional.silu nn.functional.tanh relu tanh sigmoid
jit._pickle.build_intlist jit._pickle.build_tensorlist jit._pickle.build_doublelist
jit._pickle.build_boollist jit._pickle.build_tensor_from_id jit._pickle.restore_type_tag
distributed.checkpoint.metadata.Metadata distributed.checkpoint.metadata.MetadataIndex
distributed.checkpoint.metadata.TensorStorageMetadata distributed.checkpoint.metadata.BytesStorageMetadata
distributed.checkpoint.metadata.ChunkStorageMetadata distributed.checkpoint.metadata.TensorProperties
distributed.checkpoint.metadata.StorageMeta distributed.checkpoint.metadata._MEM_FORMAT_ENCODING
distributed.checkpoint.filesystem._StorageInfo amp.grad_scaler._refresh_per_optimizer_state
cuda.amp.grad_scaler._refresh_per_optimizer_state utils.data._utils.collate.default_collate
"""
_STORAGES: Final = """
Double Float Half BFloat16 Long Int Short Char Byte Bool ComplexDouble ComplexFloat QUInt8 QInt8 QInt32
QUInt4x2 QUInt2x4
"""
# Kinds of what is now a tensor with a dtype.
_TENSOR_KINDS: Final = "Double Float Half BFloat16 Long Int Short Char Byte Bool ComplexDouble ComplexFloat"
_PYTHON: Final = """
collections.OrderedDict collections.defaultdict collections.Counter collections.deque
collections.abc.OrderedDict builtins.set builtins.frozenset builtins.complex builtins.slice
builtins.bytearray builtins.bytes builtins.int builtins.float builtins.str builtins.bool builtins.list
builtins.dict builtins.tuple builtins.range builtins.object builtins.NoneType builtins.Ellipsis
builtins.NotImplemented _codecs.encode copyreg._reconstructor copyreg.__newobj__ copyreg.__newobj_ex__
argparse.Namespace types.SimpleNamespace datetime.datetime datetime.date datetime.time datetime.timedelta
datetime.timezone decimal.Decimal fractions.Fraction uuid.UUID re._compile ipaddress.IPv4Address
pathlib.Path pathlib.PosixPath pathlib.WindowsPath pathlib.PurePath pathlib.PurePosixPath
pathlib.PureWindowsPath pathlib._local.Path pathlib._local.PosixPath pathlib._local.WindowsPath
pathlib._local.PurePath pathlib._local.PurePosixPath pathlib._local.PureWindowsPath
"""
_NUMPY: Final = """
ndarray dtype bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64
complex128 str_ bytes_ void datetime64 timedelta64 longdouble object_ random._pickle.__randomstate_ctor
random._pickle.__generator_ctor random._pickle.__bit_generator_ctor random._mt19937.MT19937
random._pcg64.PCG64 random._philox.Philox random._sfc64.SFC64 ma.core._mareconstruct ma.core.MaskedArray
"""
_NUMPY_CORE: Final = """
multiarray._reconstruct multiarray.scalar numeric._frombuffer multiarray._frombuffer
"""


def _known() -> frozenset[str]:
    from paramtui.core.dtypes import DTYPES

    torch = [
        *_TENSORS.split(),
        *DTYPES,
        "half",
        "float",
        "double",
        "long",
        "int",
        "short",
        "cfloat",
        "cdouble",
    ]
    for kind in _STORAGES.split():
        torch += [f"{kind}Storage", f"cuda.{kind}Storage"]
    for kind in _TENSOR_KINDS.split():
        torch += [f"{place}{kind}Tensor" for place in ("", "cuda.", "sparse.", "cuda.sparse.")]
    # Dtypes that no tensor can have yet.
    torch += [f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)]
    return frozenset(
        {
            *_PYTHON.split(),
            *(f"torch.{name}" for name in torch),
            *(f"numpy.{name}" for name in _NUMPY.split()),
            *(f"numpy.{core}.{name}" for name in _NUMPY_CORE.split() for core in ("core", "_core")),
        }
    )


KNOWN: Final = _known()
"""Full names that plain data is rebuilt with."""

KNOWN_CLASSES: Final = ("torch.nn.modules.", "numpy.dtypes.")
"""What the full names of classes begin with that are as usual."""

TORCHSCRIPT: Final = "__torch__."
"""What TorchScript's own names begin with: its reader knows them, and Python has no such module."""

LIBRARIES: Final = _names("""
accelerate addict apex bitsandbytes datasets deepspeed detectron2 diffusers
easydict enum fairscale fairseq flair gym gymnasium hydra lightning lightning_fabric lightning_utilities
megatron mmcv mmdet mmengine monai nemo omegaconf open_clip optimum pandas peft pytorch_lightning random
safetensors scipy segmentation_models_pytorch sentence_transformers sklearn speechbrain stable_baselines3
timm tokenizers torch_geometric torchao torchaudio torchmetrics torchtext torchvision transformers trl
typing ultralytics yacs
""")
"""Packages whose classes checkpoints often hold, but for what `OPENING` says; torch has `TORCH_CLASSES`."""

STANDARD: Final = _names("enum random typing")
"""Those that are of Python, where only classes of the module itself count."""

RUNNERS: Final = _names("""
IPython aiohttp antigravity bz2 cPickle dbm fabric fsspec gzip invoke lzma mailbox mailcap msilib
paramiko pexpect plumbum psutil pyclbr smtpd test unittest uu
_bootsubprocess _ctypes _io _osx_support _posixsubprocess _pyrepl _socket
_thread _winapi asyncore atexit bdb cProfile cffi cgitb cloudpickle code codeop commands concurrent ctypes
dill distutils doctest ensurepip fileinput ftplib gc http httplib httpx idlelib imaplib
importlib imp inspect jsonpickle joblib lib2to3 linecache marshal modulefinder multiprocessing nntplib
nt ntpath os pdb pickle pickletools pip pkgutil platform poplib popen2 posix posixpath profile pstats pty
pydoc py_compile readline requests runpy shelve shlex shutil signal site smtplib
socket socketserver sqlite3 ssl subprocess sys sysconfig tarfile telnetlib tempfile threading timeit
tkinter trace turtle urllib urllib2 venv webbrowser winreg wsgiref xmlrpc zipapp zipfile
zipimport _pickle _sqlite3 setuptools pkg_resources numexpr
""")
"""Modules any name of which runs code, reaches files or the network, or leads to what does.

A leading underscore does not count.
"""

REACHED: Final = _names("""
bltns builtin builtins cPickle cloudpickle ctypes dill imp importlib joblib marshal nt os
pdb pickle posix pty runpy shutil socket subprocess sys timeit webbrowser
""")
"""Those that other modules import, so that a name leads to them: ``torch.serialization.os``.

They are written without underscores around them: ``random._os`` is ``os``.
"""

RUNNING: Final = _names("""
builtins.eval builtins.exec builtins.execfile builtins.compile builtins.open builtins.file builtins.getattr
builtins.setattr builtins.delattr builtins.hasattr builtins.__import__ builtins.globals builtins.locals
builtins.vars builtins.dir builtins.input builtins.raw_input builtins.breakpoint builtins.apply
builtins.reload builtins.help builtins.super builtins.exit builtins.quit builtins.__build_class__
builtins.__dict__ builtins.__loader__ builtins.__spec__ io.open io.open_code io.FileIO codecs.open
operator.attrgetter operator.itemgetter operator.methodcaller operator.call _operator.attrgetter
_operator.itemgetter _operator.methodcaller _operator.call types.FunctionType types.CodeType types.MethodType
types.LambdaType asyncio.subprocess asyncio.create_subprocess_exec asyncio.create_subprocess_shell
asyncio.unix_events asyncio.base_subprocess asyncio.windows_utils logging.config logging.FileHandler
pathlib.Path pathlib.PosixPath pathlib.WindowsPath pathlib.local.Path pathlib.local.PosixPath
pathlib.local.WindowsPath dataclasses._create_fn dataclasses._FuncBuilder yaml.load yaml.load_all
yaml.unsafe_load yaml.unsafe_load_all yaml.full_load sympy.sympify sympy.core.sympify sympy.parsing
sympy.lambdify sympy.utilities.lambdify sympy.utilities.autowrap hydra.utils hydra._internal.instantiate_2
hydra._internal.instantiate transformers.tools transformers.agents torch.load torch.save torch.hub
torch.package torch.jit.load torch.jit.save torch.jit.jit_load torch.jit._serialization torch.jit.annotations
torch.jit.frontend torch._jit_internal torch.utils.benchmark torch.distributed.nn
torch.utils._cpp_extension_versioner torch.cuda.jiterator torch.cuda._compile_kernel torch._export
torch.C.import_ir_module torch.C.import_ir_module_from_buffer torch.C.load_for_lite_interpreter
torch.C.load_for_lite_interpreter_from_buffer torch.C.load_mobile_module_from_file
torch.C.load_jit_module_from_file torch.serialization.load torch.serialization.save torch.serialization.open
torch.serialization._load torch.serialization._legacy_load torch.storage._load_from_bytes torch.ops
torch.classes torch.utils.cpp_extension torch.utils.collect_env torch.utils.bottleneck
torch.utils._config_module torch.utils.data.datapipes torch.utils.model_zoo torch.utils.model_dump
torch.utils.file_baton torch.multiprocessing torch.distributed.rpc torch.distributed.elastic
torch.distributed.run torch.distributed.launch torch.distributed.launcher torch.fx.graph_module
torch.fx.experimental torch.fx._symbolic_trace torch.jit.unsupported_tensor_ops torch._dynamo torch._inductor
torch._sources torch._ops torch._classes torch._weights_only_unpickler torch.testing torch.onnx
torch.backends.xeon torch.compile torch.export.load torch.library numpy.load numpy.save numpy.savez
numpy.loadtxt numpy.savetxt numpy.genfromtxt numpy.fromfile numpy.memmap numpy.f2py numpy.testing
numpy.distutils numpy.fromregex numpy.DataSource numpy.lib.npyio numpy.lib._npyio_impl numpy.core.memmap
numpy.core.records.fromfile numpy.core.multiarray.fromfile numpy.rec.fromfile numpy.lib.format numpy.vectorize
pandas.read_pickle pandas.io pandas.eval pandas.core.computation transformers.utils.hub
transformers.dynamic_module_utils lightning.pytorch.cli pydoc.locate functools.partialmethod
uuid._get_command_stdout
""")
"""Full names of functions, and of modules and classes with all that is in them, that do the same.

Their parts count with and without underscores around them.
"""

RUNNING_LAST: Final = _names("""
CDLL CodeType CompilationUnit ExtensionFileLoader FunctionType GraphModule InteractiveConsole
InteractiveInterpreter LambdaType MethodType PackageExporter PackageImporter Popen PyDLL SourceFileLoader
WinDLL _deserialize_graph_module reduce_deploy_graph_module reduce_graph_module reduce_package_graph_module
""")
"""Last names of what does the same, wherever it was imported to."""

RUNNING_TORCH: Final = _names("""
FileStore Library PyTorchFileReader PyTorchFileWriter RemoteModule ScriptModuleSerializer SummaryWriter
TCPStore Timer
""")
"""Last names, without leading underscores, of what does the same in torch."""

_CLASSES: Final = """
torch.Generator torch._C.Generator torch._tensor.Tensor torch.tensor.Tensor torch.Tensor
torch.torch_version.TorchVersion torch.nn.Parameter torch.nn.parameter. torch.nn.attention.bias.
torch.nn.parallel.data_parallel.DataParallel torch.nn.parallel.distributed.DistributedDataParallel
torch.nn.parallel.DataParallel torch.nn.parallel.DistributedDataParallel torch.nn.utils.parametrize.
torch.nn.utils.parametrizations. torch.nn.utils.weight_norm. torch.nn.utils.spectral_norm.
torch.nn.utils.prune. torch.nn.utils.rnn. torch.nn.backends. torch.nn.quantized. torch.nn.quantizable.
torch.nn.qat. torch.nn.intrinsic. torch.ao.nn. torch.ao.quantization. torch.ao.pruning. torch.quantization.
torch.legacy.nn. torch.optim. torch.distributions. torch.utils.data.dataset. torch.utils.data.sampler.
torch.utils.data.distributed. torch.utils.data.dataloader.DataLoader torch.utils.data.DataLoader
torch.utils.hooks.RemovableHandle torch.utils._pytree.TreeSpec torch.utils._pytree.LeafSpec torch.amp.
torch.cuda.amp. torch.cpu.amp. torch.nested._internal.nested_tensor. torch.masked. torch.sparse.
torch.autograd.variable.Variable torch.autograd.Variable torch.autograd.function.
torch._subclasses.fake_tensor.FakeTensor torch.distributed.device_mesh. torch.distributed.algorithms.
torch.distributed.checkpoint.metadata. torch.distributed.checkpoint.planner. torch.distributed._shard.
torch.distributed._tensor. torch.distributed.tensor.DTensor torch.distributed.tensor._api.
torch.distributed.tensor._dtensor_spec. torch.distributed.tensor.placement_types.
torch.distributed.tensor.parallel. torch.distributed.optim. torch.distributed.fsdp.api.
torch.distributed.fsdp.fully_sharded_data_parallel. torch.distributed.fsdp._fully_shard.
torch.distributed.fsdp.sharded_grad_scaler. torch.distributed._functional_collectives.AsyncCollectiveTensor
torch.nn.parallel.distributed_cpu.DistributedDataParallelCPU torch.distributed.fsdp._flat_param.FlatParameter
torch.ScriptObject torch._C.ScriptObject
"""
TORCH_CLASSES: Final = tuple(_CLASSES.split())
"""Classes of torch that checkpoints hold; with a dot at the end, what their full names begin with."""

OPENING: Final = _names("""
Browser Command Connection Console ForwardRef Listener LowLevelCallable Parallel Pool Process Shell Subprocess
Thread
""")
"""Last names, without leading underscores, of classes that open files, sockets or processes, or take code."""

OPENING_ENDS: Final = (
    "Client",
    "Downloader",
    "Executor",
    "Exporter",
    "File",
    "FileHandler",
    "FileSystem",
    "Filesystem",
    "Importer",
    "Interpreter",
    "InterpreterTool",
    "Library",
    "Loader",
    "Pickler",
    "ProcessPool",
    "Server",
    "Session",
    "Socket",
    "Store",
    "ThreadPool",
    "Timer",
    "Unpickler",
    "Writer",
)
"""What such names end with."""

OPENING_BEGIN: Final = ("LoadF", "LoadI", "LoadP", "LoadS", "LoadV")
"""What such names begin with, as ``LoadStreams``."""

HARMLESS_ENDS: Final = ("DataLoader",)
"""What names end with that only look like such."""

CALLBACKS: Final = _names("Timer BasePredictionWriter")
"""Classes that are called so, yet are usual in a module of callbacks."""
