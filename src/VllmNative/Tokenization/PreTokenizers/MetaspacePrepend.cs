namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>Where a Metaspace pre-tokenizer puts its character in front.</summary>
internal enum MetaspacePrepend
{
    Always,
    Never,
    First,
}
