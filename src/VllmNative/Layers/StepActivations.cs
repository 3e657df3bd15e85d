using VllmNative.Tensors;

namespace VllmNative.Layers;

/// <summary>The first T rows of <see cref="Activations"/>: one step's intermediate results.</summary>
internal readonly struct StepActivations(Activations all, int tokens)
{
    internal Tensor Residual { get; } = all.Residual.Take(tokens);

    internal Tensor Delta { get; } = all.Delta.Take(tokens);

    internal Tensor Normed { get; } = all.Normed.Take(tokens);

    internal Tensor Qkv { get; } = all.Qkv.Take(tokens);

    internal Tensor Attended { get; } = all.Attended.Take(tokens);

    internal Tensor GateUp { get; } = all.GateUp.Take(tokens);

    internal Tensor Activated { get; } = all.Activated.Take(tokens);
}
