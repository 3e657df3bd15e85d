namespace VllmNative.Diagnostics;

/// <summary>A model file (weights, config, tokenizer, template) is missing, malformed or not supported.</summary>
public sealed class ModelFormatException : VllmException
{
    /// <summary>Creates the error; the message reads <c>file: item: cause</c>.</summary>
    /// <param name="file">The file, as it was opened.</param>
    /// <param name="item">The tensor, key or token at fault; null when the whole file is.</param>
    /// <param name="cause">What is wrong, with the value found and the value expected.</param>
    /// <param name="innerException">The parser's own error, if there was one.</param>
    public ModelFormatException(string file, string? item, string cause, Exception? innerException = null)
        : base(item is null ? $"{file}: {cause}" : $"{file}: {item}: {cause}", innerException)
    {
        File = file;
        Item = item;
        Cause = cause;
    }

    /// <summary>The file at fault.</summary>
    public string File { get; }

    /// <summary>The tensor, key or token at fault; null when the whole file is.</summary>
    public string? Item { get; }

    /// <summary>What is wrong.</summary>
    public string Cause { get; }
}
