using System.Globalization;

namespace VllmNative.Tests.Performance;

/// <summary>Bytes of this process that lie in memory.</summary>
/// <param name="Anonymous">Its own.</param>
/// <param name="Files">Pages of mapped files.</param>
internal readonly record struct ResidentMemory(long Anonymous, long Files)
{
    internal long Total => Anonymous + Files;

    internal static ResidentMemory Now()
    {
        long anonymous = 0;
        long files = 0;
        foreach (string line in File.ReadLines("/proc/self/status"))
        {
            if (line.StartsWith("RssAnon:", StringComparison.Ordinal))
            {
                anonymous = Kibibytes(line);
            }
            else if (line.StartsWith("RssFile:", StringComparison.Ordinal))
            {
                files = Kibibytes(line);
            }
        }

        return new ResidentMemory(anonymous << 10, files << 10);
    }

    private static long Kibibytes(string line) =>
        long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture);
}
