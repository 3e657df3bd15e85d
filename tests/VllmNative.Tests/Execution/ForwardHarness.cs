using VllmNative.Diagnostics;
using VllmNative.Execution;
using VllmNative.Layers;
using VllmNative.Loading;
using VllmNative.Models;
using VllmNative.Steps;
using VllmNative.Tensors;

namespace VllmNative.Tests.Execution;

/// <summary>Runs a model step by step below the engine, so that a test sees the logits of every token.</summary>
internal sealed class ForwardHarness : IDisposable
{
    private const int MaxTokens = 512;

    private readonly ModelRunner _runner;
    private readonly StepPlan _plan = new(64, MaxTokens);
    private readonly StepResult _result = new(MaxTokens);
    private readonly int _blockSize;
    private int _nextBlock = 1;

    /// <param name="modelDir">A checkpoint.</param>
    /// <param name="type">Of weights and activations.</param>
    /// <param name="blockSize">Tokens in a KV block.</param>
    /// <param name="cacheType">Of the KV cache; null = as the activations.</param>
    /// <param name="graphs">Whether decode steps are replayed, on a GPU.</param>
    /// <param name="deterministic">Whether logits must not depend on the batch.</param>
    internal ForwardHarness(string modelDir, DataType type, int blockSize, DataType? cacheType = null, bool graphs = false, bool deterministic = false)
    {
        _blockSize = blockSize;
        ModelConfig config = ModelConfig.Load(modelDir);
        Device device = Device.Create(TestDevice.Kind, 0, 0, deterministic);
        using WeightMap weights = WeightMap.Open(modelDir);
        DecoderSpec spec = ModelRegistry.Describe(config, modelDir);
        DecoderModel model = new DecoderBuilder(device, spec, type, new CheckpointParameters(device, type, weights, null), MaxTokens).Build();
        var group = new KvGroup(config.NumHiddenLayers, blockSize, config.NumKeyValueHeads, config.HeadDim, config.HeadDim, cacheType ?? type);
        var kv = new KvPool(device, group, 1024);
        _runner = new ModelRunner(device, model, kv, new BatchShape(64, MaxTokens, MaxTokens, 1024 / blockSize, blockSize));
        if (graphs)
        {
            _runner.WarmUp();
            _runner.RecordGraphs();
        }
    }

    /// <summary>One row of a step: the next tokens of a sequence.</summary>
    internal sealed record Chunk(int Row, int Start, int[] Ids);

    /// <summary>Computes a step and returns the logits of all its tokens, [tokens][vocabulary].</summary>
    internal unsafe float[][] Run(params Chunk[] chunks)
    {
        _plan.Clear();
        foreach (Chunk chunk in chunks)
        {
            if (chunk.Start == 0)
            {
                _plan.RowUpdates.Add(new RowUpdate(chunk.Row, 0, 0));
            }

            int before = Blocks(chunk.Start);
            for (int index = before; index < Blocks(chunk.Start + chunk.Ids.Length); index++)
            {
                _plan.TableUpdates.Add(new TableUpdate(0, chunk.Row, index, _nextBlock++));
            }

            int first = _plan.TokenIds.Count;
            _plan.TokenIds.AddRange(chunk.Ids);
            _plan.AddRow(new StepRow(chunk.Row, chunk.Ids.Length, first, chunk.Start + chunk.Ids.Length, chunk.Ids.Length, -1));
        }

        _runner.Launch(_plan, 0);
        _runner.Complete(_plan, _result, 0);
        Tensor logits = _runner.Logits(_plan.NumLogits);
        var rows = new float[_plan.NumLogits][];
        for (int i = 0; i < rows.Length; i++)
        {
            rows[i] = new float[logits.Dim1];
            fixed (float* row = rows[i])
            {
                _runner.Device.CopyToHost((nint)row, logits.Data + (nint)(i * logits.Dim1 * sizeof(float)), logits.Dim1 * sizeof(float));
                _runner.Device.Synchronize();
            }
        }

        return rows;
    }

    public void Dispose() => _runner.Dispose();

    private int Blocks(int tokens) => (tokens + _blockSize - 1) / _blockSize;
}
