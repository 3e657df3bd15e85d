using VllmNative.Tensors;

namespace VllmNative.Layers;

/// <summary>Rotary position embedding: cosines and sines once a step, the rotation in each layer.</summary>
internal sealed class RotaryEmbedding : IDisposable
{
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

    /// <summary>Computes the tables of this step's positions.</summary>
    internal void Prepare(in ForwardContext context) =>
        context.Device.RopeCosSin(context.Positions, _inverseFrequencies.Tensor, Table(context.NumTokens), _scale);

    /// <summary>Rotates q and k [tokens, heads, dim] in place.</summary>
    internal void Apply(in ForwardContext context, Tensor q, Tensor k) =>
        context.Device.Rope(Table(context.NumTokens), q, k, RopeStyle.NeoX);

    public void Dispose()
    {
        _inverseFrequencies.Dispose();
        _cosSin.Dispose();
    }

    private Tensor Table(int tokens) => Tensor.Matrix(_cosSin.Data, DataType.Float32, tokens, _rotaryDim);
}
