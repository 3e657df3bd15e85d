using VllmNative.Tensors;

namespace VllmNative.Layers;

/// <summary>Rotary position embedding: cosines and sines once a step; each layer's <see cref="Attention"/> turns its heads by them.</summary>
internal sealed class RotaryEmbedding : IDisposable
{
    /// <summary>Which dimensions of a head turn together.</summary>
    internal const RopeStyle Style = RopeStyle.NeoX;

    private readonly Parameter _inverseFrequencies;
    private readonly DeviceBuffer _cosSin;
    private readonly int _rotaryDim;
    private readonly float _scale;

    /// <param name="device">Where the tables live.</param>
    /// <param name="inverseFrequencies">One for each rotated pair.</param>
    /// <param name="scale">Factor on cosines and sines.</param>
    /// <param name="maxTokens">Most tokens of a step.</param>
    internal RotaryEmbedding(Device device, ReadOnlySpan<float> inverseFrequencies, float scale, int maxTokens)
    {
        _inverseFrequencies = Parameter.Of(device, inverseFrequencies);
        _rotaryDim = inverseFrequencies.Length * 2;
        _scale = scale;
        _cosSin = device.Allocate((long)maxTokens * _rotaryDim * sizeof(float));
    }

    /// <summary>The step's cosines and sines [tokens, rotated dimensions].</summary>
    internal Tensor Table(int tokens) => Tensor.Matrix(_cosSin.Data, DataType.Float32, tokens, _rotaryDim);

    /// <summary>Computes the tables of this step's positions.</summary>
    internal void Prepare(in ForwardContext context) =>
        context.Device.RopeCosSin(context.Positions, _inverseFrequencies.Tensor, Table(context.NumTokens), _scale);

    public void Dispose()
    {
        _inverseFrequencies.Dispose();
        _cosSin.Dispose();
    }
}
