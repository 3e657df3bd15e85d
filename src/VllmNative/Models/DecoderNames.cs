namespace VllmNative.Models;

/// <summary>Names of a decoder's tensors in Hugging Face checkpoints.</summary>
internal static class DecoderNames
{
    internal const string Embedding = "model.embed_tokens.weight";

    internal const string FinalNorm = "model.norm.weight";

    internal const string Head = "lm_head.weight";

    internal static string Layer(int layer, string name) => $"model.layers.{layer}.{name}";
}
