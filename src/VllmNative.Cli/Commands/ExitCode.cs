namespace VllmNative.Cli.Commands;

/// <summary>What the process answers to its caller.</summary>
internal static class ExitCode
{
    internal const int Ok = 0;

    internal const int Error = 1;

    /// <summary>128 + SIGINT, as shells expect it of an interrupted program.</summary>
    internal const int Interrupted = 130;
}
