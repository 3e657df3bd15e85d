using VllmNative.Layers;
using VllmNative.Models;
using VllmNative.Sampling;
using VllmNative.Steps;
using VllmNative.Tensors;

namespace VllmNative.Execution;

/// <summary>
/// Computes a step on one device: upload the plan, derive the batch on the device, run the model, sample, commit, read back.
/// Not thread-safe: <see cref="StepWorker"/> calls it from the device's one thread.
/// </summary>
internal sealed class ModelRunner : IDisposable
{
    private readonly Device _device;
    private readonly DecoderModel _model;
    private readonly KvPool _kv;
    private readonly BatchBuffers _buffers;
    private readonly BatchBuilder _builder;
    private readonly Sampler _sampler;
    private readonly DeviceBuffer _logits;
    private readonly DeviceBuffer _selected;
    private readonly DeviceBuffer _workspace;

    internal ModelRunner(Device device, DecoderModel model, KvPool kv, BatchShape shape)
    {
        _device = device;
        _model = model;
        _kv = kv;
        try
        {
            _buffers = new BatchBuffers(device, shape);
            _sampler = new Sampler(device, Math.Max(shape.MaxSeqs, shape.MaxLogits), model.Vocabulary);
            _builder = new BatchBuilder(_buffers, _sampler);
            _logits = device.Allocate((long)shape.MaxLogits * model.Vocabulary * sizeof(float));
            _selected = device.Allocate((long)shape.MaxLogits * model.Hidden * model.Type.Size());
            int maxSequence = (int)Math.Min((long)shape.MaxBlocks * shape.BlockSize, int.MaxValue);
            _workspace = device.Allocate(model.WorkspaceBytes(device, shape.MaxTokens, shape.MaxLogits, maxSequence));
        }
        catch
        {
            // The caller keeps what it handed in.
            _selected?.Dispose();
            _logits?.Dispose();
            _sampler?.Dispose();
            _buffers?.Dispose();
            throw;
        }
    }

    internal Device Device => _device;

    internal DecoderModel Model => _model;

    internal KvPool Kv => _kv;

    /// <summary>The logits of the last step, before sampling changed them if anything did; for tests.</summary>
    internal Tensor Logits(int rows) => Tensor.Matrix(_logits.Data, DataType.Float32, rows, _model.Vocabulary);

    /// <summary>Computes the plan into the result. Throws when the step as a whole failed.</summary>
    internal void Run(StepPlan plan, StepResult result)
    {
        result.Begin(plan.StepId);
        _builder.Upload(plan);
        CopyBlocks(plan);
        BatchInputs inputs = InputsOf(plan);
        _device.PrepareBatch(inputs);
        ForwardContext context = ContextOf(plan);
        Tensor hidden = _model.Forward(context);
        int samples = plan.NumLogits;
        if (samples > 0)
        {
            Sample(plan, context, hidden, samples);
        }

        Commit(plan, inputs, samples);
        _sampler.Download(samples, plan.MaxTopLogprobs);
        _device.CopyToHost(_buffers.RowFlagsHost.Data, _buffers.RowFlags.Data, plan.Rows.Count * sizeof(int));
        _device.Synchronize();
        Read(plan, result, samples);
    }

    public void Dispose()
    {
        _workspace.Dispose();
        _selected.Dispose();
        _logits.Dispose();
        _sampler.Dispose();
        _buffers.Dispose();
        _kv.Dispose();
        _model.Dispose();
        _device.Dispose();
    }

    private void CopyBlocks(StepPlan plan)
    {
        if (plan.BlockCopies.Count > 0)
        {
            Tensor pairs = Tensor.Matrix(_buffers.BlockCopies.Data, DataType.Int32, plan.BlockCopies.Count, 2);
            _device.CopyBlocks(pairs, _kv.Data, _kv.Group.BlockBytes, _kv.NumBlocks);
        }
    }

    private BatchInputs InputsOf(StepPlan plan)
    {
        int rows = plan.Rows.Count;
        int tokens = plan.NumTokens;
        return new BatchInputs
        {
            VocabSize = _model.Config.VocabSize,
            Kv = _kv,
            RowUpdates = Int32Matrix(_buffers.RowUpdates, plan.RowUpdates.Count),
            TableUpdates = Int32Matrix(_buffers.TableUpdates, plan.TableUpdates.Count),
            StepRows = Int32Matrix(_buffers.StepRows, rows),
            StepIds = Tensor.Vector(_buffers.StepIds.Data, DataType.Int32, plan.TokenIds.Count),
            LastToken = _buffers.LastToken,
            ComputedLength = _buffers.ComputedLength,
            BlockTables = _buffers.BlockTables,
            TokenIds = _buffers.TokenIds.Take(tokens),
            Positions = _buffers.Positions.Take(tokens),
            QueryStart = _buffers.QueryStart.Take(rows + 1),
            SequenceLengths = _buffers.SequenceLengths.Take(rows),
            SlotMapping = Tensor.Matrix(_buffers.SlotMapping.Data, DataType.Int64, 1, tokens),
            RowFlags = _buffers.RowFlags.Take(rows),
        };
    }

    private ForwardContext ContextOf(StepPlan plan) => new()
    {
        Device = _device,
        Kv = _kv,
        Workspace = new Workspace(_workspace.Data, _workspace.Bytes),
        NumTokens = plan.NumTokens,
        MaxQueryLength = plan.MaxQueryLength,
        MaxSequenceLength = plan.MaxSequenceLength,
        TokenIds = _buffers.TokenIds.Take(plan.NumTokens),
        Positions = _buffers.Positions.Take(plan.NumTokens),
        QueryStart = _buffers.QueryStart.Take(plan.Rows.Count + 1),
        SequenceLengths = _buffers.SequenceLengths.Take(plan.Rows.Count),
        StepRows = Int32Matrix(_buffers.StepRows, plan.Rows.Count),
        SlotMapping = Tensor.Vector(_buffers.SlotMapping.Data, DataType.Int64, plan.NumTokens),
        BlockTable = _buffers.BlockTables.At(0),
    };

    private void Sample(StepPlan plan, in ForwardContext context, Tensor hidden, int samples)
    {
        Tensor sampleRows = Int32Matrix(_buffers.SampleRows, samples);
        Tensor selected = Tensor.Matrix(_selected.Data, _model.Type, samples, _model.Hidden);
        _device.GatherRows(hidden, sampleRows, selected);
        Tensor logits = Logits(samples);
        _model.ComputeLogits(context, selected, logits);

        (Tensor positions, Tensor values) = plan.LogitEdits.Count > 0 ? _builder.UploadEdits(plan) : default;
        _sampler.Sample(new SampleBatch
        {
            Logits = logits,
            SampleRows = sampleRows,
            EditPositions = positions,
            EditValues = values,
            AllGreedy = plan.AllGreedy,
            AnyPenalties = plan.AnyPenalties,
            TopLogprobs = plan.MaxTopLogprobs,
        });
    }

    private void Commit(StepPlan plan, in BatchInputs inputs, int samples)
    {
        Tensor counts = plan.AnyPenalties ? _sampler.Counts : default;
        Tensor sampleRows = samples > 0 ? Int32Matrix(_buffers.SampleRows, samples) : default;
        _device.CommitBatch(inputs, sampleRows, _sampler.Ids(samples), _sampler.Flags(samples), counts, _sampler.Settings);
    }

    private unsafe void Read(StepPlan plan, StepResult result, int samples)
    {
        SamplerOutputs host = _sampler.Host;
        var rowFlags = new ReadOnlySpan<int>((void*)_buffers.RowFlagsHost.Data, plan.Rows.Count);
        ReadOnlySpan<int> ids = SamplerOutputs.Ints(host.Ids, samples);
        ReadOnlySpan<int> flags = SamplerOutputs.Ints(host.Flags, samples);
        int sample = 0;
        for (int row = 0; row < plan.Rows.Count; row++)
        {
            int count = plan.Rows[row].LogitCount;
            int status = rowFlags[row];
            for (int i = 0; i < count; i++)
            {
                status |= flags[sample + i];
            }

            result.SetRow(row, (RowStatus)status, ids.Slice(sample, count));
            sample += count;
        }

        int top = plan.MaxTopLogprobs;
        if (top >= 0)
        {
            result.EnsureTop(top, samples);
            SamplerOutputs.Floats(host.Logprobs, samples).CopyTo(result.Logprobs);
            SamplerOutputs.Ints(host.Ranks, samples).CopyTo(result.Ranks);
            SamplerOutputs.Ints(host.TopIds, samples * top).CopyTo(result.TopIds);
            SamplerOutputs.Floats(host.TopLogprobs, samples * top).CopyTo(result.TopLogprobs);
        }
    }

    // Tables of four words a row.
    private static Tensor Int32Matrix(StagedArray<int> array, int rows) => Tensor.Matrix(array.Data, DataType.Int32, rows, 4);
}
