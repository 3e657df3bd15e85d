using System.Globalization;
using VllmNative.Diagnostics;

namespace VllmNative.Loading;

/// <summary>The tensors of a file must cover its data exactly: no overlap, no hole, nothing behind the last one.</summary>
internal static class SafetensorsLayout
{
    /// <summary>Checks the ranges, each of which is already known to lie inside the data.</summary>
    public static void Check(IReadOnlyCollection<SafetensorsEntry> entries, long dataLength, string file)
    {
        SafetensorsEntry[] sorted = [.. entries];

        // Files are written in offset order as a rule; sorting such input costs one pass.
        Array.Sort(sorted, static (a, b) => a.Begin != b.Begin ? a.Begin.CompareTo(b.Begin) : a.End.CompareTo(b.End));
        long position = 0;
        string? previous = null;
        foreach (SafetensorsEntry entry in sorted)
        {
            if (entry.Begin < position)
            {
                throw Error(file, entry.Name, $"begins at {entry.Begin}, inside the tensor '{JsonText.Of(previous!)}' that ends at {position}");
            }

            if (entry.Begin > position)
            {
                throw Error(file, entry.Name, $"begins at {entry.Begin}, leaving a hole after byte {position}");
            }

            position = entry.End;
            previous = entry.Name;
        }

        if (position != dataLength)
        {
            throw new ModelFormatException(file, null, string.Create(CultureInfo.InvariantCulture, $"tensors end at data byte {position}, the file at {dataLength}"));
        }
    }

    private static ModelFormatException Error(string file, string item, FormattableString cause) =>
        new(file, JsonText.Of(item), cause.ToString(CultureInfo.InvariantCulture));
}
