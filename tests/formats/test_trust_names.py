"""Names that pickles were seen to attack with, and names that honest checkpoints hold, as they are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch._weights_only_unpickler import _get_allowed_globals

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.trust import LIBRARY, RUNS, UNUSUAL, USUAL, verdict

if TYPE_CHECKING:
    import types

    from tests.conftest import Save


def names(text: str) -> list[str]:
    return text.split()


RUNS_CODE = names("""
torch.utils.benchmark.Timer torch.utils.benchmark.utils.timer.Timer torch._C.PyTorchFileWriter
torch.distributed.FileStore torch.distributed.TCPStore torch._C._distributed_c10d.FileStore
torch.fx.GraphModule torch.fx.graph_module.reduce_graph_module torch.jit.CompilationUnit
torch.jit._script.PackageImporter torch._C.CompilationUnit torch._C.import_ir_module torch._C._jit_pass_inline
torch.backends.mps._Library torch.nn.modules.module.torch.utils.benchmark.Timer
torchvision.models.feature_extraction.GraphModule torch.jit._serialization.load
torch.jit.annotations.get_signature torch.serialization.load torch.utils.collect_env.run
torch._inductor.codecache.compile_file torch.jit.unsupported_tensor_ops.execWrapper
torch.utils.bottleneck.__main__.run_cprofile torch.utils.data.datapipes.utils.decoder.basichandlers
torch._dynamo.guards.GuardBuilder.get torch.utils._config_module.ConfigModule.load_config
torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression random._os.system enum.bltns.eval
enum.bltns.open typing.sys.modules random.__builtins__.eval collections._sys.modules pathlib.Path.write_bytes
pathlib._local.PosixPath.unlink builtins.help builtins.__import__ cPickle.loads _pickle.loads
_imp.create_dynamic imp.load_source dbm.open dbm.dumb.open marshal.loads shelve.open zipimport.zipimporter
pip.main pip._internal.main doctest.debug_script cProfile.runctx cProfile.run pdb.run bdb.Bdb.run
trace.Trace.run timeit.timeit timeit.main code.InteractiveInterpreter.runcode runpy._run_code ctypes.CDLL
ensurepip._run_pip idlelib.pyshell.ModifiedInterpreter.runcommand lib2to3.pgen2.pgen.ParserGenerator site.main
webbrowser.open asyncio.unix_events._UnixSubprocessTransport._start distutils.file_util.write_file
profile.Profile.run venv.create logging.config._resolve logging.config.dictConfig operator.methodcaller
operator.attrgetter _operator.attrgetter types.CodeType types.FunctionType typing.types.FunctionType
test.support.run_code unittest.mock._importer uuid._get_command_stdout gzip.open bz2.BZ2File lzma.open
pydoc.locate pkgutil.resolve_name numpy.testing._private.utils.runstring numpy.f2py.crackfortran.myeval
numpy.core.records.fromfile numpy._core.records.fromfile numpy.fromfile numpy.load
multiprocessing.util.spawnv_passfds antigravity.geohash sklearn.externals.joblib.load
sklearn.externals.joblib.Parallel joblib.load cloudpickle.loads dill.loads yaml.unsafe_load sympy.sympify
hydra.utils.instantiate transformers.tools.PythonInterpreterTool dataclasses._create_fn pandas.read_pickle
pandas.io.common.get_handle os.system nt.system subprocess.Popen http.client.HTTPSConnection
aiohttp.client.ClientSession requests.get socket.create_connection
""")
NOT_KNOWN = names("""
functools.partial functools.reduce collections.namedtuple typing.ForwardRef typing.collections.OrderedDict
random._accumulate enum.Enum.__new__ torch.tensorboard.Anything torch.package_like.Class torch.fx.Interpreter
torch.profiler.profiler.ExecutionTraceObserver torch.distributed.checkpoint.staging.ThreadPoolExecutor
torch.distributed.checkpoint.filesystem.FileSystemWriter torch._C.ScriptModule torch.nn.modules.linear.F
torch.nn.modules.module.torch.SomeClass torch.nn.modules.rnn.warnings.WarningMessage
torch.export.ExportedProgram torch.optim.optimizer.functools.Any torch.nn.parallel.distributed.RRef
torch.utils.data.dataloader.IterDataPipe numpy.dtypes.warnings.WarningMessage pandas.HDFStore
pandas.ExcelWriter pandas.ExcelFile pandas.np.Thing transformers.utils.torch.Thing
lightning.fabric.utilities.cloud_io.AbstractFileSystem sklearn.utils.Parallel
ultralytics.data.loaders.LoadStreams scipy.LowLevelCallable torchvision.datasets.utils.Downloader wandb.Client
datasets.arrow_writer.ArrowWriter timm.data.loader.PrefetchLoader
""")
HONEST = names("""
torch.nn.parallel.distributed_cpu.DistributedDataParallelCPU torch.distributed.fsdp._flat_param.FlatParameter
torch.nn.modules.conv.Conv2d torch.nn.parameter.Parameter torch.torch_version.TorchVersion torch._C.Generator
torch.optim.lr_scheduler.LambdaLR torch.optim.sgd.SGD torch.optim.swa_utils.AveragedModel
torch.cuda.amp.grad_scaler.GradScaler torch.amp.grad_scaler.GradScaler torch.distributions.normal.Normal
torch.nn.parallel.data_parallel.DataParallel torch.nn.parallel.distributed.DistributedDataParallel
torch.nn.utils.parametrize.ParametrizationList torch.nn.utils.weight_norm.WeightNorm
torch.nn.utils.parametrizations._WeightNorm torch.nn.utils.prune.L1Unstructured
torch.nn.quantized.modules.linear.Linear torch.ao.nn.quantized.modules.conv.Conv2d
torch.ao.nn.intrinsic.qat.modules.conv_fused.ConvBn2d torch.ao.quantization.observer._PartialWrapper
torch.ao.quantization.qconfig.QConfig torch.ao.quantization.fake_quantize.FakeQuantize
torch.quantization.observer.MinMaxObserver torch.utils.data.dataset.TensorDataset
torch.utils.data.sampler.RandomSampler torch.utils.data.dataloader.DataLoader
torch.utils.hooks.RemovableHandle torch.distributed.tensor.DTensor
torch.distributed.tensor.placement_types.Shard torch.distributed._tensor.api.DTensor
torch.distributed.device_mesh.DeviceMesh
torch.distributed._shard.sharded_tensor.metadata.ShardedTensorMetadata
torch.distributed.fsdp.fully_sharded_data_parallel.FullyShardedDataParallel
torch.distributed.checkpoint.metadata.Metadata torch.nn.Parameter torch.nn.modules.container.Sequential
numpy.dtypes.Float64DType random.Random enum.Enum typing.Any ultralytics.nn.tasks.DetectionModel
ultralytics.nn.modules.block.C2f ultralytics.utils.IterableSimpleNamespace
ultralytics.data.build.InfiniteDataLoader transformers.trainer_utils.IntervalStrategy
transformers.trainer_utils.SchedulerType transformers.trainer_pt_utils.AcceleratorConfig
transformers.models.bert.configuration_bert.BertConfig accelerate.utils.dataclasses.DistributedType
accelerate.state.PartialState pytorch_lightning.callbacks.timer.Timer
pytorch_lightning.trainer.states.TrainerFn lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint
lightning_fabric.utilities.data.AttributeDict lightning.pytorch.strategies.deepspeed.DeepSpeedStrategy
mmengine.logging.history_buffer.HistoryBuffer scipy.signal._ltisys.StateSpaceContinuous
sklearn.preprocessing._data.StandardScaler sklearn.pipeline.Pipeline
sklearn.gaussian_process._gpr.GaussianProcessRegressor pandas.core.frame.DataFrame
pandas.core.indexes.base.Index omegaconf.listconfig.ListConfig omegaconf.base.ContainerMetadata
timm.layers.attention_pool.AttentionPoolLatent monai.networks.layers.simplelayers.SkipConnection
fairscale.nn.data_parallel.FullyShardedDataParallel peft.tuners.lora.config.LoraConfig tokenizers.Tokenizer
torchvision.models.resnet.ResNet torchvision.ops.misc.Conv2dNormActivation torchmetrics.aggregation.MeanMetric
__torch__.torch.fx.graph_module.GraphModule __torch__.mine.Loader __torch__.torch.nn.modules.linear.Linear
""")


@pytest.mark.parametrize("name", RUNS_CODE)
def test_a_way_that_pickles_take_to_run_code_is_said_to_run_code(name: str) -> None:
    assert verdict(name) == RUNS


@pytest.mark.parametrize("name", NOT_KNOWN)
def test_what_opens_files_or_is_in_no_list_is_not_taken_for_a_class_of_a_library(name: str) -> None:
    assert verdict(name) == UNUSUAL


@pytest.mark.parametrize("name", HONEST)
def test_what_honest_checkpoints_name_is_no_finding(name: str) -> None:
    assert verdict(name) in (USUAL, LIBRARY)


def test_nothing_that_torch_load_accepts_by_default_is_a_finding() -> None:
    allowed = set(_get_allowed_globals())
    assert {"torch.FloatTensor", "torch.cuda.sparse.ByteTensor", "torch.uint7", "torch.Size"} <= allowed
    assert {name for name in allowed if verdict(name) not in (USUAL, LIBRARY)} == set()


@pytest.mark.parametrize("package", [nn, torch.optim, torch.distributions])
def test_every_class_of_a_package_of_torch_that_whole_models_hold_is_known(package: types.ModuleType) -> None:
    classes = [each for each in vars(package).values() if isinstance(each, type)]
    names = {f"{each.__module__}.{each.__qualname__}" for each in classes}
    assert len(names) > 10
    assert {name for name in names if not name.startswith("torch.")} == set()
    assert {name for name in names if verdict(name) not in (USUAL, LIBRARY)} == set()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_objects_of_training_saved_whole_are_no_finding(save: Save) -> None:
    net = nn.Sequential(nn.Linear(4, 4))
    optimizer = torch.optim.AdamW(net.parameters())
    data = torch.utils.data.TensorDataset(torch.zeros(2))
    path = save(
        [
            optimizer,
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5),
            torch.optim.swa_utils.AveragedModel(net),
            torch.amp.GradScaler("cpu"),
            nn.DataParallel(net),
            nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)).state_dict(),
            nn.utils.spectral_norm(nn.Linear(2, 2)),
            torch.distributions.Normal(torch.zeros(2), torch.ones(2)),
            torch.utils.data.DataLoader(data),
            torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4)), {nn.Linear}),
            torch.__version__,
        ]
    )
    found = open_checkpoint(str(path)).find_uses().found
    assert len(found) > 15
    assert [use.name for use in found if not use.known] == []
