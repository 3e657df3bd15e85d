namespace VllmNative.Bindings;

/// <summary>A native call failed. The message is the library's own line: operation, argument, value found, value expected.</summary>
public sealed class NativeException : Exception
{
    /// <summary>Creates the error.</summary>
    /// <param name="status">What the native function answered.</param>
    /// <param name="message">The library's message.</param>
    public NativeException(NativeStatus status, string message) : base(message) => Status = status;

    /// <summary>What the native function answered.</summary>
    public NativeStatus Status { get; }
}
