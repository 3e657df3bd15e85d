using VllmNative.Tensors;

namespace VllmNative.Sampling;

/// <summary>Callers' code that changes logits on the host, behind masks and edits and before penalties.</summary>
internal interface IHostProcessors
{
    /// <summary>Runs it on [rows, vocabulary] f32; returns when the rows concerned are on their way back.</summary>
    void Run(Tensor logits);
}
