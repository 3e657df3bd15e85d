using VllmNative.Bench.Kernels;
using VllmNative.Engine;
using VllmNative.Loading;

namespace VllmNative.Bench.Serving;

/// <summary>
/// What a step of a decoder must move and compute, from its config.json: floors that no engine can beat. Attention counts as
/// seeing the whole context; a model with a sliding window needs less.
/// </summary>
internal sealed class ModelWork
{
    private readonly DeviceCeilings _ceilings;
    private readonly long _elementBytes;
    private readonly double _layerParameters;
    private readonly double _headParameters;
    private readonly double _kvBytesPerToken;
    private readonly double _attentionOperations;

    /// <param name="config">The model.</param>
    /// <param name="engine">An engine that runs it.</param>
    /// <param name="ceilings">Of the device that it runs on.</param>
    internal ModelWork(ModelConfig config, AsyncLlmEngine engine, DeviceCeilings ceilings)
    {
        _ceilings = ceilings;
        _elementBytes = engine.Capabilities.Dtype == ModelDtype.Float32 ? 4 : 2;
        long heads = 2L * (config.NumAttentionHeads + config.NumKeyValueHeads) * config.HeadDim;
        _layerParameters = (double)config.NumHiddenLayers * config.HiddenSize * (heads + (3L * config.IntermediateSize));
        _headParameters = (double)config.VocabSize * config.HiddenSize;
        _kvBytesPerToken = (double)engine.Memory.BlockBytes / engine.Memory.BlockSize;
        _attentionOperations = 4.0 * config.NumHiddenLayers * config.NumAttentionHeads * config.HeadDim;
    }

    /// <summary>Milliseconds of a step that computes one token of each row: weights read once or multiplied, K and V read once.</summary>
    internal double DecodeMilliseconds(int rows, double context)
    {
        double parameters = _layerParameters + _headParameters;
        double weights = Math.Max(parameters * _elementBytes / _ceilings.BytesPerSecond, 2 * parameters * rows / _ceilings.OperationsPerSecond);
        return 1e3 * (weights + (rows * context * _kvBytesPerToken / _ceilings.BytesPerSecond));
    }

    /// <summary>Milliseconds of a prompt, causal; the head works on one token.</summary>
    internal double PrefillMilliseconds(int tokens)
    {
        double operations = (2 * _layerParameters * tokens) + (2 * _headParameters) + (_attentionOperations * tokens * (tokens + 1.0) / 2);
        double bytes = (_layerParameters + _headParameters) * _elementBytes;
        return 1e3 * Math.Max(operations / _ceilings.OperationsPerSecond, bytes / _ceilings.BytesPerSecond);
    }
}
