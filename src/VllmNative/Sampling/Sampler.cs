using VllmNative.Tensors;

namespace VllmNative.Sampling;

/// <summary>
/// Chooses the next tokens of a step in one batch. Each request row's settings lie on the device; a step in which nobody uses
/// a feature does not pay for it. Order: raw log-probabilities are taken from the logits as the model gave them; then edits,
/// penalties, temperature, min-p, top-k, top-p, draw.
/// </summary>
internal sealed unsafe class Sampler : IDisposable
{
    internal const int MaxTopLogprobs = 20;

    private const int CountChunk = 4096;

    private readonly Device _device;
    private readonly int _maxSeqs;
    private readonly int _vocabulary;
    private readonly SamplingTable _settings;
    private readonly DeviceBuffer _countUpdates;
    private readonly DeviceBuffer _countUpdatesHost;
    private readonly DeviceBuffer _outputs;
    private readonly DeviceBuffer _outputsHost;
    private readonly DeviceBuffer _workspace;
    private readonly SamplerOutputs _deviceOutputs;
    private readonly SamplerOutputs _hostOutputs;

    // Only when somebody asks: they are as large as the logits and as all requests' vocabularies.
    private DeviceBuffer? _counts;
    private DeviceBuffer? _rawLogits;

    internal Sampler(Device device, int maxSeqs, int vocabulary)
    {
        _device = device;
        _maxSeqs = maxSeqs;
        _vocabulary = vocabulary;
        _settings = new SamplingTable(device, maxSeqs);
        _countUpdates = device.Allocate(CountChunk * 4 * sizeof(int));
        _countUpdatesHost = device.AllocateHost(CountChunk * 4 * sizeof(int));
        long outputBytes = SamplerOutputs.BytesFor(maxSeqs, MaxTopLogprobs);
        _outputs = device.Allocate(outputBytes);
        _outputsHost = device.AllocateHost(outputBytes);
        _deviceOutputs = new SamplerOutputs(_outputs.Data, maxSeqs);
        _hostOutputs = new SamplerOutputs(_outputsHost.Data, maxSeqs);
        _workspace = device.Allocate(device.SampleWorkspace(maxSeqs, vocabulary));
    }

    /// <summary>The settings of all request rows, for operations that need them.</summary>
    internal SamplingTable Settings => _settings;

    /// <summary>[count slots, vocabulary], or absent while nobody counts.</summary>
    internal Tensor Counts => _counts is null ? default : Tensor.Matrix(_counts.Data, DataType.Int32, _maxSeqs, _vocabulary);

    /// <summary>The sampled ids and flags of the last step, on the device.</summary>
    internal Tensor Ids(int rows) => Tensor.Vector(_deviceOutputs.Ids, DataType.Int32, rows);

    internal Tensor Flags(int rows) => Tensor.Vector(_deviceOutputs.Flags, DataType.Int32, rows);

    /// <summary>The results of the last step in host memory, valid after <see cref="Download"/> and a synchronisation.</summary>
    internal SamplerOutputs Host => _hostOutputs;

    /// <summary>Clears a count slot and counts the tokens of a request in it.</summary>
    internal void CountTokens(int slot, ReadOnlySpan<int> tokens, int promptLength)
    {
        _counts ??= _device.Allocate((long)_maxSeqs * _vocabulary * sizeof(int));
        var updates = new Span<int>((void*)_countUpdatesHost.Data, CountChunk * 4);
        int count = 0;
        void Add(Span<int> target, int token, int isPrompt)
        {
            (target[(count * 4) + 0], target[(count * 4) + 1], target[(count * 4) + 2], target[(count * 4) + 3]) = (slot, token, isPrompt, 0);
            count++;
        }

        Add(updates, -1, 0);
        for (int i = 0; i < tokens.Length; i++)
        {
            if (count == CountChunk)
            {
                Flush(count);
                count = 0;
            }

            Add(updates, tokens[i], i < promptLength ? 1 : 0);
        }

        Flush(count);
    }

    /// <summary>Samples every row of the batch into device memory.</summary>
    internal void Sample(in SampleBatch batch)
    {
        int rows = (int)batch.Logits.Dim0;
        bool edited = batch.EditValues.Dim0 > 0 && batch.EditValues.IsPresent;
        Tensor raw = batch.TopLogprobs >= 0 && (edited || batch.AnyPenalties) ? Snapshot(batch.Logits) : batch.Logits;
        if (edited)
        {
            _device.EditLogits(batch.Logits, batch.EditPositions, batch.EditValues);
        }

        if (batch.AnyPenalties)
        {
            _device.Penalize(batch.Logits, batch.SampleRows, Counts, _settings);
        }

        var workspace = new Workspace(_workspace.Data, _workspace.Bytes);
        _device.Sample(batch.Logits, batch.SampleRows, _settings, batch.AllGreedy, Ids(rows), Flags(rows), workspace);
        if (batch.TopLogprobs >= 0)
        {
            int top = Math.Min(batch.TopLogprobs, _vocabulary);
            _device.Logprobs(
                raw,
                Ids(rows),
                Tensor.Vector(_deviceOutputs.Logprobs, DataType.Float32, rows),
                Tensor.Vector(_deviceOutputs.Ranks, DataType.Int32, rows),
                top == 0 ? default : Tensor.Matrix(_deviceOutputs.TopIds, DataType.Int32, rows, top),
                top == 0 ? default : Tensor.Matrix(_deviceOutputs.TopLogprobs, DataType.Float32, rows, top));
        }
    }

    /// <summary>Starts the copy of the last step's results to host memory.</summary>
    internal void Download(int rows, int topLogprobs)
    {
        Copy(_hostOutputs.Ids, _deviceOutputs.Ids, rows);
        Copy(_hostOutputs.Flags, _deviceOutputs.Flags, rows);
        if (topLogprobs >= 0)
        {
            Copy(_hostOutputs.Logprobs, _deviceOutputs.Logprobs, rows);
            Copy(_hostOutputs.Ranks, _deviceOutputs.Ranks, rows);
            Copy(_hostOutputs.TopIds, _deviceOutputs.TopIds, rows * topLogprobs);
            Copy(_hostOutputs.TopLogprobs, _deviceOutputs.TopLogprobs, rows * topLogprobs);
        }
    }

    public void Dispose()
    {
        _settings.Dispose();
        _countUpdates.Dispose();
        _countUpdatesHost.Dispose();
        _outputs.Dispose();
        _outputsHost.Dispose();
        _workspace.Dispose();
        _counts?.Dispose();
        _rawLogits?.Dispose();
    }

    private void Copy(nint host, nint device, int words) => _device.CopyToHost(host, device, (long)words * sizeof(int));

    private void Flush(int count)
    {
        _device.CopyToDevice(_countUpdates.Data, _countUpdatesHost.Data, (long)count * 4 * sizeof(int));
        _device.UpdateTokenCounts(Counts, Tensor.Matrix(_countUpdates.Data, DataType.Int32, count, 4));
        _device.Synchronize();
    }

    private Tensor Snapshot(Tensor logits)
    {
        _rawLogits ??= _device.Allocate((long)_maxSeqs * _vocabulary * sizeof(float));
        _device.CopyOnDevice(_rawLogits.Data, logits.Data, logits.Dim0 * _vocabulary * sizeof(float));
        return Tensor.Matrix(_rawLogits.Data, DataType.Float32, logits.Dim0, _vocabulary);
    }
}
