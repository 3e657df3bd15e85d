using VllmNative.Layers;
using VllmNative.Tensors;

namespace VllmNative.Models;

/// <summary>Random weights, filled on the device: shapes and speed of a model without its checkpoint.</summary>
internal sealed class DummyParameters(Device device, DataType type, ulong seed) : IParameterSource
{
    // Small enough that activations of deep models stay finite.
    private const float Scale = 0.02f;

    private ulong _next = seed;

    public Weight Matrix(bool lookup, int columns, ReadOnlySpan<ParameterPart> parts)
    {
        long rows = 0;
        foreach (ParameterPart part in parts)
        {
            rows += part.Rows;
        }

        Weight weight = device.CreateWeight(lookup, type, rows, columns);
        weight.Fill(_next++, Scale);
        return weight;
    }

    public Parameter Vector(ReadOnlySpan<ParameterPart> parts)
    {
        int length = 0;
        foreach (ParameterPart part in parts)
        {
            length += part.Rows;
        }

        // Norm weights are near one; biases near zero.
        float[] values = new float[length];
        Array.Fill(values, parts[0].Name.EndsWith(".bias", StringComparison.Ordinal) ? 0f : 1f);
        return Parameter.Of(device, values);
    }
}
