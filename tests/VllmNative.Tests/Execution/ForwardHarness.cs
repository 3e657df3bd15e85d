using VllmNative.Diagnostics;
using VllmNative.Engine;
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

    private readonly StepPlan _plan = new(64, MaxTokens);
    private readonly StepResult _result = new(MaxTokens);
    private readonly int _blockSize;
    private int _nextBlock = 1;
    private long _stepId;

    /// <param name="modelDir">A checkpoint.</param>
    /// <param name="type">Of weights and activations.</param>
    /// <param name="blockSize">Tokens in a KV block.</param>
    /// <param name="cacheType">Of the KV cache; null = as the activations.</param>
    /// <param name="graphs">Whether decode steps are replayed, on a GPU.</param>
    /// <param name="deterministic">Whether logits must not depend on the batch.</param>
    /// <param name="hostBlocks">Of swap space.</param>
    /// <param name="residual">Of the residual stream.</param>
    internal ForwardHarness(
        string modelDir,
        DataType type,
        int blockSize,
        DataType? cacheType = null,
        bool graphs = false,
        bool deterministic = false,
        int hostBlocks = 0,
        ResidualDtype residual = ResidualDtype.Auto)
    {
        _blockSize = blockSize;
        ModelConfig config = ModelConfig.Load(modelDir);
        Device device = Device.Create(TestDevice.Kind, 0, 0, deterministic);
        using WeightMap weights = WeightMap.Open(modelDir);
        DecoderSpec spec = ModelRegistry.Describe(config, modelDir);
        DataType residualType = EngineFactory.ResidualTypeOf(residual, type, device.Kind);
        DecoderModel model = new DecoderBuilder(device, spec, type, residualType, new CheckpointParameters(device, type, weights, null), MaxTokens).Build();
        var group = new KvGroup(config.NumHiddenLayers, blockSize, config.NumKeyValueHeads, config.HeadDim, config.HeadDim, cacheType ?? type);
        var kv = new KvPool(device, group, 1024);
        HostKvPool? host = hostBlocks > 0 ? new HostKvPool(device, group, hostBlocks) : null;
        Runner = new ModelRunner(device, model, kv, new BatchShape(64, MaxTokens, MaxTokens, 1024 / blockSize, blockSize), host);
        if (graphs)
        {
            Runner.WarmUp();
            Runner.RecordGraphs();
        }
    }

    internal ModelRunner Runner { get; }

    /// <summary>One row of a step: the next tokens of a sequence.</summary>
    internal sealed record Chunk(int Row, int Start, int[] Ids);

    /// <summary>Computes a step and returns the logits of all its tokens, [tokens][vocabulary].</summary>
    internal unsafe float[][] Run(params Chunk[] chunks)
    {
        Run(plan => Plan(plan, chunks));
        Tensor logits = Runner.Logits(_plan.NumLogits);
        var rows = new float[_plan.NumLogits][];
        for (int i = 0; i < rows.Length; i++)
        {
            rows[i] = new float[logits.Dim1];
            fixed (float* row = rows[i])
            {
                Runner.Device.CopyToHost((nint)row, logits.Data + (nint)(i * logits.Dim1 * sizeof(float)), logits.Dim1 * sizeof(float));
                Runner.Device.Synchronize();
            }
        }

        return rows;
    }

    /// <summary>Computes any step.</summary>
    internal StepResult Run(Action<StepPlan> fill)
    {
        _plan.Clear();
        _plan.StepId = ++_stepId;
        fill(_plan);
        Runner.Launch(_plan, 0);
        Runner.Complete(_plan, _result, 0);
        return _result;
    }

    public void Dispose() => Runner.Dispose();

    private void Plan(StepPlan plan, Chunk[] chunks)
    {
        foreach (Chunk chunk in chunks)
        {
            if (chunk.Start == 0)
            {
                plan.RowUpdates.Add(new RowUpdate(chunk.Row, 0, 0));
            }

            int before = Blocks(chunk.Start);
            for (int index = before; index < Blocks(chunk.Start + chunk.Ids.Length); index++)
            {
                plan.TableUpdates.Add(new TableUpdate(0, chunk.Row, index, _nextBlock++));
            }

            int first = plan.TokenIds.Count;
            plan.TokenIds.AddRange(chunk.Ids);
            plan.AddRow(new StepRow(chunk.Row, chunk.Ids.Length, first, chunk.Start + chunk.Ids.Length, chunk.Ids.Length, -1));
        }
    }

    private int Blocks(int tokens) => (tokens + _blockSize - 1) / _blockSize;
}
