using VllmNative.Diagnostics;

namespace VllmNative.Tokenization;

/// <summary>A chat template does not parse, fails on a conversation, rejects it, or exceeds a limit.</summary>
public sealed class ChatTemplateException : VllmException
{
    /// <summary>Creates the error; the message reads <c>chat template, line n: cause</c>.</summary>
    /// <param name="line">The line of the template, from 1; 0 when no line is at fault.</param>
    /// <param name="cause">What is wrong.</param>
    /// <param name="isRejection">Whether the template itself rejected the conversation (<c>raise_exception</c>).</param>
    public ChatTemplateException(int line, string cause, bool isRejection = false)
        : base(line > 0 ? $"chat template, line {line}: {cause}" : $"chat template: {cause}")
    {
        Line = line;
        Cause = cause;
        IsRejection = isRejection;
    }

    /// <summary>The line of the template, from 1; 0 when no line is at fault.</summary>
    public int Line { get; }

    /// <summary>What is wrong, without the line.</summary>
    public string Cause { get; }

    /// <summary>Whether the template itself rejected the conversation: the request is at fault, not the template.</summary>
    public bool IsRejection { get; }
}
