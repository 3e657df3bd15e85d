namespace VllmNative.Engine;

/// <summary>Element type of the residual stream: the sum of what the embedding and all layers give.</summary>
public enum ResidualDtype
{
    /// <summary>bfloat16 for bfloat16 models on a GPU, where it saves 1% of a decode step and 3% of a prefill; else float32.</summary>
    Auto,

    /// <summary>32-bit: a 16-bit sum over many layers loses small contributions.</summary>
    Float32,

    /// <summary>The model's own, as Hugging Face transformers and vLLM have it.</summary>
    Model,
}
