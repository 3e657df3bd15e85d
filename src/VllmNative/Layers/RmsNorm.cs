using VllmNative.Tensors;

namespace VllmNative.Layers;

/// <summary>Root-mean-square norm, alone or fused with the residual addition; per head it is a part of <see cref="Attention"/>'s operation.</summary>
internal sealed class RmsNorm(Parameter weight, float eps) : IDisposable
{
    internal Tensor Weight => weight.Tensor;

    internal float Eps => eps;

    /// <summary>output = norm(x).</summary>
    internal void Forward(in ForwardContext context, Tensor x, Tensor output) =>
        context.Device.RmsNorm(x, weight.Tensor, default, output, eps, 0);

    /// <summary>residual += x; output = norm(residual).</summary>
    internal void AddForward(in ForwardContext context, Tensor x, Tensor residual, Tensor output) =>
        context.Device.RmsNorm(x, weight.Tensor, residual, output, eps, 0);

    public void Dispose() => weight.Dispose();
}
