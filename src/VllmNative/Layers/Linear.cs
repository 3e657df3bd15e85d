using VllmNative.Tensors;

namespace VllmNative.Layers;

/// <summary>y = x Wᵀ + bias. Several projections of one input are merged into one matrix.</summary>
internal sealed class Linear(Weight weight, Parameter? bias) : IDisposable
{
    internal Weight Weight => weight;

    internal void Forward(in ForwardContext context, Tensor x, Tensor y) =>
        context.Device.Gemm(weight, x, bias?.Tensor ?? default, y, context.Workspace);

    /// <summary>Has the device measure how it computes products of so many rows fastest; what y holds is lost.</summary>
    internal void Tune(Device device, Tensor x, Tensor y) => device.TuneGemm(weight, x, bias?.Tensor ?? default, y);

    public void Dispose()
    {
        weight.Dispose();
        bias?.Dispose();
    }
}
