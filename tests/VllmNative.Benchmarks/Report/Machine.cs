namespace VllmNative.Benchmarks.Report;

/// <summary>Where figures were measured.</summary>
internal sealed record Machine(string Processor, int Threads, string Date, string Command)
{
    internal static Machine Here(int threads, string command)
    {
        string line = File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal), ": unknown processor");
        string arguments = threads == Environment.ProcessorCount ? "" : $" --threads {threads}";
        return new Machine(line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim(), threads, $"{DateTime.UtcNow:yyyy-MM-dd}", command + arguments);
    }

    /// <summary>The processor's name as a file name.</summary>
    internal string Slug => string.Join('-', Processor.ToLowerInvariant().Split([.. Processor.ToLowerInvariant().Where(c => !char.IsAsciiLetterOrDigit(c))], StringSplitOptions.RemoveEmptyEntries));
}
