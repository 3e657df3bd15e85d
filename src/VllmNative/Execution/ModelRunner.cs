using VllmNative.Diagnostics;
using VllmNative.Layers;
using VllmNative.Models;
using VllmNative.Sampling;
using VllmNative.Steps;
using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>
/// Computes steps on one device. <see cref="Launch"/> asks for everything: upload the plan, derive the batch on the device,
/// run the model, sample, commit, copy the results; <see cref="Complete"/> waits for them. On a GPU two steps are in flight: one
/// computes while the next is launched. Not thread-safe: <see cref="StepWorker"/> calls it from the device's one thread.
/// </summary>
internal sealed class ModelRunner : IDisposable
{
    private readonly Device _device;
    private readonly DecoderModel _model;
    private readonly BatchShape _shape;
    private readonly DisposeScope _owned = new();
    private readonly BatchBuffers _buffers;
    private readonly StepReadback _readback;
    private readonly StepViews _views;
    private readonly Sampler _sampler;
    private readonly BatchBuilder _builder;
    private readonly DeviceBuffer _logits;
    private readonly DeviceBuffer _selected;
    private readonly DeviceBuffer _workspace;
    private readonly HiddenReadback _hidden;
    private readonly StepSwaps _swaps;
    private readonly StepClock? _clock;

    // Batch sizes of decode steps; null where nothing is gained by padding.
    private readonly DecodeGraphs? _graphs;
    private KvPool _kv;

    /// <summary>Makes the runner the owner of device, model and pools once it is made.</summary>
    /// <param name="device">What computes.</param>
    /// <param name="model">What is computed.</param>
    /// <param name="kv">The KV blocks of rows.</param>
    /// <param name="shape">The largest step.</param>
    /// <param name="host">Where plans swap blocks to; null = they swap none.</param>
    /// <param name="meter">Told how long steps take; null = nobody asks.</param>
    /// <param name="processedLogprobs">Whether log-probabilities are taken from the logits as changed, instead of the model's.</param>
    internal ModelRunner(Device device, DecoderModel model, KvPool kv, BatchShape shape, HostKvPool? host = null, DeviceTimeMeter? meter = null, bool processedLogprobs = false)
    {
        _device = device;
        _model = model;
        _kv = kv;
        HostKv = host;
        _shape = shape;
        bool gpu = device.Kind == DeviceKind.Cuda;
        MaxStepsInFlight = gpu ? 2 : 1;
        try
        {
            int maxRows = Math.Max(shape.MaxSeqs, shape.MaxLogits);
            _buffers = _owned.Add(new BatchBuffers(device, shape));
            _readback = _owned.Add(new StepReadback(device, MaxStepsInFlight, maxRows));
            _sampler = _owned.Add(new Sampler(device, maxRows, model.Vocabulary, _readback.OnDevice, MaxStepsInFlight, processedLogprobs));
            _builder = _owned.Add(new BatchBuilder(device, shape, _sampler, MaxStepsInFlight));
            _logits = _owned.Add(device.Allocate((long)maxRows * model.Vocabulary * sizeof(float)));
            _selected = _owned.Add(device.Allocate((long)shape.MaxLogits * model.Hidden * model.Type.Size()));
            _workspace = _owned.Add(device.Allocate(model.WorkspaceBytes(device, shape.MaxTokens, maxRows, MaxSequence)));
            _graphs = gpu ? _owned.Add(new DecodeGraphs(shape.MaxSeqs)) : null;
            _views = new StepViews(device, model.Config.VocabSize, _buffers, _readback, _workspace);
            BufferBytes = _buffers.Bytes + _builder.Bytes + _sampler.Bytes + _readback.Bytes + _logits.Bytes + _selected.Bytes + _workspace.Bytes;
            _hidden = _owned.Add(new HiddenReadback(device, model.Type, model.Hidden, MaxStepsInFlight));
            _swaps = _owned.Add(new StepSwaps(device, host, MaxStepsInFlight));
            _clock = meter is null ? null : _owned.Add(new StepClock(device, MaxStepsInFlight, meter));
        }
        catch
        {
            // The caller keeps what it handed in.
            _owned.Dispose();
            throw;
        }
    }

    internal Device Device => _device;

    /// <summary>Swap space; null when there is none.</summary>
    internal HostKvPool? HostKv { get; }

    /// <summary>Most steps that are launched and not completed.</summary>
    internal int MaxStepsInFlight { get; }

    /// <summary>The logits of the last step, before sampling changed them if anything did; for tests.</summary>
    internal Tensor Logits(int rows) => Tensor.Matrix(_logits.Data, DataType.Float32, rows, _model.Vocabulary);

    private int MaxSequence => (int)Math.Min((long)_shape.MaxBlocks * _shape.BlockSize, int.MaxValue);

    /// <summary>Launches a step. Throws when the step as a whole failed.</summary>
    /// <param name="plan">The step; it belongs to the runner until it is complete.</param>
    /// <param name="slot">A number below <see cref="MaxStepsInFlight"/> that no other step in flight has.</param>
    internal void Launch(StepPlan plan, int slot)
    {
        // First: they wait for the steps before this one, and this one does not wait for them.
        _swaps.Launch(plan, _kv);
        int bucket = BucketOf(plan);
        int rows = bucket > 0 ? bucket : plan.Rows.Count;
        int tokens = bucket > 0 ? bucket : plan.NumTokens;
        StepInputs step = _builder.Upload(plan, slot, rows);
        LogitChanges changes = _builder.UploadChanges(plan, slot);
        _clock?.Begin();
        CopyBlocks(step);
        BatchInputs inputs = _views.InputsOf(_kv, step, rows, tokens);
        _device.PrepareBatch(inputs);
        if (rows > 0)
        {
            Compute(plan, step, slot, bucket, inputs, changes);
        }

        _readback.Start(slot, plan.MaxTopLogprobs);
        _clock?.End();
    }

    /// <summary>Waits for a launched step and reads its results. Throws when the device failed.</summary>
    internal void Complete(StepPlan plan, StepResult result, int slot)
    {
        StepOutputs host = _readback.Wait(slot);
        _clock?.Report();
        StepReadback.Read(plan, result, host);
        _builder.Report(plan, slot, result);
        _hidden.Report(plan, slot);
        _swaps.Report(plan, result);
    }

    /// <summary>Makes the result that of a step that failed; when this returns none of its blocks is copied any more.</summary>
    internal void Fail(StepPlan plan, StepResult result, Exception failure)
    {
        _device.NoteFailure(failure);
        try
        {
            _swaps.Abandon(plan.StepId);
        }
        catch (Exception error)
        {
            _device.NoteFailure(error);
        }

        result.Begin(plan.StepId);
        result.Failure = failure;
        result.SwapsDone = _swaps.Done;
    }

    /// <summary>Bytes of device memory that the runner's own buffers take.</summary>
    internal long BufferBytes { get; }

    /// <summary>Bytes more that it takes when requests first ask for penalties, and for log-probabilities beside them.</summary>
    internal long LazyBytes => 2 * _logits.Bytes;

    /// <summary>
    /// Runs on a GPU what serving will run, so that kernels are loaded and matrix products have chosen their algorithms: the
    /// longest step, and a decode step of every batch size, of one token that belongs to nobody.
    /// </summary>
    internal void WarmUp()
    {
        if (_graphs is null)
        {
            return;
        }

        var plan = new StepPlan(1, 1);
        plan.AddRow(new StepRow(0, 1, -1, 1, 1, -1));
        StepInputs step = _builder.Upload(plan, 0, 1);
        _device.PrepareBatch(_views.InputsOf(_kv, step, 1, _shape.MaxTokens));
        Tensor hidden = _model.Forward(_views.ContextOf(_kv, step.StepRows, 1, _shape.MaxTokens, _shape.MaxTokens, MaxSequence, maxPrefillSequence: 0));
        // Ordinary values, for what is measured on them.
        _device.CopyOnDevice(_selected.Data, hidden.Data, _selected.Bytes);
        foreach (int bucket in _graphs.Buckets)
        {
            step = _builder.Upload(plan, 0, bucket);
            _device.PrepareBatch(_views.InputsOf(_kv, step, bucket, bucket));
            DecodeEagerly(bucket);
        }

        foreach (bool greedy in (ReadOnlySpan<bool>)[true, false])
        {
            _sampler.Sample(new SampleBatch
            {
                Logits = Logits(1),
                SampleRows = step.SampleRows,
                Changes = default,
                AllGreedy = greedy,
                AnyPenalties = false,
                TopLogprobs = 0,
            });
        }

        _device.Synchronize();
    }

    /// <summary>
    /// Has a GPU measure how it computes the model's products fastest, at every batch size of decode steps and for chunks of
    /// prompts. Afterwards two runners may differ in the last bits, as what is measured is not always the same.
    /// </summary>
    internal void Tune()
    {
        if (_graphs is null)
        {
            return;
        }

        foreach (int rows in DecodeGraphs.RowBuckets(_shape.MaxTokens))
        {
            _model.TuneLayers(_device, rows);
        }

        foreach (int rows in DecodeGraphs.RowBuckets(_shape.MaxLogits))
        {
            Tensor selected = Tensor.Matrix(_selected.Data, _model.Type, rows, _model.Hidden);
            _model.TuneHead(_device, selected, Logits(rows));
        }
    }

    /// <summary>Records the decode steps of every batch size, largest first: the smaller ones find their memory there.</summary>
    internal void RecordGraphs()
    {
        if (_graphs is not null)
        {
            for (int i = _graphs.Buckets.Length - 1; i >= 0; i--)
            {
                int bucket = _graphs.Buckets[i];
                _graphs.Record(_device, bucket, () => DecodeEagerly(bucket));
            }
        }
    }

    /// <summary>Takes another pool instead of the present one, which it disposes; graphs must be recorded anew.</summary>
    internal void Attach(KvPool kv)
    {
        _device.Synchronize();
        _kv.Dispose();
        _kv = kv;
    }

    /// <summary>Frees what the runner made, and the pools; device and model stay with whoever handed them in.</summary>
    internal void DisposeKeepingModel()
    {
        _owned.Dispose();
        _kv.Dispose();
        HostKv?.Dispose();
    }

    public void Dispose()
    {
        DisposeKeepingModel();
        _model.Dispose();
        _device.Dispose();
    }

    // A step in which every row computes one token and samples it.
    private int BucketOf(StepPlan plan)
    {
        int rows = plan.Rows.Count;
        bool decode = rows > 0 && plan.NumTokens == rows && plan.NumLogits == rows;
        return decode && _graphs is not null ? _graphs.BucketOf(rows) : 0;
    }

    private void Compute(StepPlan plan, in StepInputs step, int slot, int bucket, in BatchInputs inputs, in LogitChanges changes)
    {
        if (bucket > 0)
        {
            Decode(bucket);
        }
        else
        {
            Forward(plan, step, slot);
        }

        int samples = plan.NumLogits;
        if (samples > 0)
        {
            _sampler.Sample(new SampleBatch
            {
                Logits = Logits(samples),
                SampleRows = step.SampleRows,
                Changes = changes,
                Processors = _builder.ProcessorsOf(plan, slot),
                Given = _builder.GivenOf(plan, slot),
                Requested = _builder.RequestedOf(plan, slot),
                AllGreedy = plan.AllGreedy,
                AnyPenalties = plan.AnyPenalties,
                TopLogprobs = plan.MaxTopLogprobs,
            });
        }

        Tensor counts = plan.AnyPenalties ? _sampler.Counts : default;
        _device.CommitBatch(inputs, samples > 0 ? step.SampleRows : default, _sampler.Ids(samples), _sampler.Flags(samples), counts, _sampler.Settings);
    }

    private void CopyBlocks(in StepInputs step)
    {
        if (step.BlockCopies.Dim0 > 0)
        {
            _device.CopyBlocks(step.BlockCopies, _kv.Data, _kv.Group.BlockBytes, _kv.NumBlocks);
        }
    }

    // Replayed or not, the same operations on the same shapes.
    private void Decode(int bucket)
    {
        if (!_graphs!.TryLaunch(bucket))
        {
            DecodeEagerly(bucket);
        }
    }

    // Bounds are the largest there can be: what a graph records must hold for every step that it replays.
    private void DecodeEagerly(int bucket)
    {
        ForwardContext context = _views.ContextOf(_kv, _builder.StepRows(bucket), bucket, bucket, maxQuery: 1, MaxSequence, maxPrefillSequence: 0);
        Tensor hidden = _model.Forward(context);
        _model.ComputeLogits(context, hidden, Logits(bucket));
    }

    private void Forward(StepPlan plan, in StepInputs step, int slot)
    {
        ForwardContext context = _views.ContextOf(
            _kv, step.StepRows, plan.Rows.Count, plan.NumTokens, plan.MaxQueryLength, plan.MaxSequenceLength, plan.MaxPrefillSequenceLength);
        Tensor hidden = _model.Forward(context);
        _hidden.Start(plan, slot, hidden);
        int samples = plan.NumLogits;
        if (samples > 0)
        {
            Tensor selected = Tensor.Matrix(_selected.Data, _model.Type, samples, _model.Hidden);
            _device.GatherRows(hidden, step.SampleRows, selected);
            _model.ComputeLogits(context, selected, Logits(samples));
        }
    }
}
