namespace VllmNative.Diagnostics;

/// <summary>A request (prompt, sampling parameters, options) breaks a rule; the message names parameter, value and range.</summary>
public sealed class InvalidRequestException : VllmException
{
    /// <summary>Creates the error.</summary>
    /// <param name="parameter">The parameter at fault, in its public spelling.</param>
    /// <param name="message">One line with the value and the allowed range.</param>
    public InvalidRequestException(string parameter, string message) : base(message) => Parameter = parameter;

    /// <summary>The parameter at fault.</summary>
    public string Parameter { get; }
}
