using VllmNative.Diagnostics;

namespace VllmNative.Engine;

/// <summary>The engine has stopped: it was disposed, its device was lost, or its own bookkeeping failed.</summary>
public sealed class EngineDeadException : VllmException
{
    /// <summary>Creates the error.</summary>
    public EngineDeadException(string message, Exception? innerException = null) : base(message, innerException) { }
}
