namespace VllmNative.Diagnostics;

/// <summary>Base of every error that VllmNative raises on purpose; the message is one line and names the value and the limit.</summary>
public class VllmException : Exception
{
    /// <summary>Creates the error.</summary>
    public VllmException(string message) : base(message) { }

    /// <summary>Creates the error with its cause.</summary>
    public VllmException(string message, Exception? innerException) : base(message, innerException) { }
}
