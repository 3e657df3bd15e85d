using VllmNative.Tensors;

namespace VllmNative.Layers;

/// <summary>Root-mean-square norm, alone, fused with the residual addition, or per head.</summary>
internal sealed class RmsNorm(Parameter weight, float eps) : IDisposable
{
    /// <summary>output = norm(x).</summary>
    internal void Forward(in ForwardContext context, Tensor x, Tensor output) =>
        context.Device.RmsNorm(x, weight.Tensor, default, output, eps, 0);

    /// <summary>residual += x; output = norm(residual).</summary>
    internal void AddForward(in ForwardContext context, Tensor x, Tensor residual, Tensor output) =>
        context.Device.RmsNorm(x, weight.Tensor, residual, output, eps, 0);

    /// <summary>Each head of [tokens, heads, dim], in place.</summary>
    internal void ForwardHeads(in ForwardContext context, Tensor heads) =>
        context.Device.RmsNorm(heads, weight.Tensor, default, heads, eps, 0);

    public void Dispose() => weight.Dispose();
}
