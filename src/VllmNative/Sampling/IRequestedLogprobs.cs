using VllmNative.Tensors;

namespace VllmNative.Sampling;

/// <summary>Fetches what the log-probabilities of named tokens are made of.</summary>
internal interface IRequestedLogprobs
{
    /// <summary>From logits [rows, vocabulary] f32; ids are those of all rows, sampled or given.</summary>
    void Gather(Tensor logits, Tensor ids);
}
