using VllmNative.Tensors;

namespace VllmNative.Sampling;

/// <summary>
/// Chooses the next tokens of a step in one batch. Each request row's settings lie on the device; a step in which nobody uses
/// a feature does not pay for it. Order: raw log-probabilities are taken from the logits as the model gave them; then masks,
/// edits, callers' processors, penalties (here processed ones are taken), temperature, min-p, top-k, top-p, draw.
/// </summary>
internal sealed unsafe class Sampler : IDisposable
{
    private const int CountChunk = 4096;

    private readonly Device _device;
    private readonly int _maxSeqs;
    private readonly int _vocabulary;
    private readonly bool _processedLogprobs;
    private readonly SamplingTable _settings;
    private readonly DeviceBuffer _countUpdates;
    private readonly DeviceBuffer _countUpdatesHost;
    private readonly DeviceBuffer _workspace;
    private readonly StepOutputs _outputs;

    // Only when somebody asks: they are as large as the logits and as all requests' vocabularies.
    private DeviceBuffer? _counts;
    private DeviceBuffer? _rawLogits;

    /// <param name="device">What computes.</param>
    /// <param name="maxSeqs">Request rows, and most logits rows of a step.</param>
    /// <param name="vocabulary">Columns of the logits.</param>
    /// <param name="outputs">Device memory that results are written to.</param>
    /// <param name="slots">Steps in flight.</param>
    /// <param name="processedLogprobs">Whether log-probabilities are taken after masks, edits and penalties.</param>
    internal Sampler(Device device, int maxSeqs, int vocabulary, StepOutputs outputs, int slots, bool processedLogprobs = false)
    {
        _processedLogprobs = processedLogprobs;
        _device = device;
        _maxSeqs = maxSeqs;
        _vocabulary = vocabulary;
        _outputs = outputs;
        _settings = new SamplingTable(device, maxSeqs, slots);
        _countUpdates = device.Allocate(CountChunk * 4 * sizeof(int));
        _countUpdatesHost = device.AllocateHost(CountChunk * 4 * sizeof(int));
        _workspace = device.Allocate(device.SampleWorkspace(maxSeqs, vocabulary));
    }

    /// <summary>Bytes of device memory, without what is made when somebody first asks for it.</summary>
    internal long Bytes => _settings.Bytes + _countUpdates.Bytes + _workspace.Bytes;

    /// <summary>The settings of all request rows, for operations that need them.</summary>
    internal SamplingTable Settings => _settings;

    /// <summary>[count slots, vocabulary], or absent while nobody counts.</summary>
    internal Tensor Counts => _counts is null ? default : Tensor.Matrix(_counts.Data, DataType.Int32, _maxSeqs, _vocabulary);

    /// <summary>The sampled ids and flags of the last step, on the device.</summary>
    internal Tensor Ids(int rows) => Tensor.Vector(_outputs.Ids, DataType.Int32, rows);

    internal Tensor Flags(int rows) => Tensor.Vector(_outputs.Flags, DataType.Int32, rows);

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
        bool changes = batch.Changes.Any || batch.AnyPenalties || batch.Processors is not null;
        Tensor scored = batch.TopLogprobs >= 0 && changes && !_processedLogprobs ? Snapshot(batch.Logits) : batch.Logits;
        batch.Changes.Apply(_device, batch.Logits);
        batch.Processors?.Run(batch.Logits);
        if (batch.AnyPenalties)
        {
            _device.Penalize(batch.Logits, batch.SampleRows, Counts, _settings);
        }

        var workspace = new Workspace(_workspace.Data, _workspace.Bytes);
        _device.Sample(batch.Logits, batch.SampleRows, _settings, batch.AllGreedy, Ids(rows), Flags(rows), workspace);
        batch.Given?.Place(_outputs.Ids);
        if (batch.TopLogprobs >= 0)
        {
            int top = Math.Min(batch.TopLogprobs, _vocabulary);
            _device.Logprobs(
                scored,
                Ids(rows),
                Tensor.Vector(_outputs.Logprobs, DataType.Float32, rows),
                Tensor.Vector(_outputs.Ranks, DataType.Int32, rows),
                top == 0 ? default : Tensor.Matrix(_outputs.TopIds, DataType.Int32, rows, top),
                top == 0 ? default : Tensor.Matrix(_outputs.TopLogprobs(batch.TopLogprobs), DataType.Float32, rows, top));
            batch.Requested?.Gather(scored, Ids(rows));
        }
    }

    public void Dispose()
    {
        _settings.Dispose();
        _countUpdates.Dispose();
        _countUpdatesHost.Dispose();
        _workspace.Dispose();
        _counts?.Dispose();
        _rawLogits?.Dispose();
    }

    private void Flush(int count)
    {
        _device.CopyToDevice(_countUpdates.Data, _countUpdatesHost.Data, (long)count * 4 * sizeof(int));
        _device.UpdateTokenCounts(Counts, Tensor.Matrix(_countUpdates.Data, DataType.Int32, count, 4));
        // The one staging area is written again at once; only requests with penalties pay for it, when they start.
        _device.Synchronize();
    }

    private Tensor Snapshot(Tensor logits)
    {
        _rawLogits ??= _device.Allocate((long)_maxSeqs * _vocabulary * sizeof(float));
        _device.CopyOnDevice(_rawLogits.Data, logits.Data, logits.Dim0 * _vocabulary * sizeof(float));
        return Tensor.Matrix(_rawLogits.Data, DataType.Float32, logits.Dim0, _vocabulary);
    }
}
