using System.Globalization;
using System.Security;
using System.Text;

namespace VllmNative.Bench.Results;

/// <summary>One line of a plot: a value for each of its places.</summary>
internal sealed record PlotLine(string Name, IReadOnlyList<double> Values);

/// <summary>A plot of lines from zero upwards over named places, as an SVG picture.</summary>
internal sealed record LinePlot(string Title, string Horizontal, IReadOnlyList<string> Places, IReadOnlyList<PlotLine> Lines)
{
    private const int Width = 640;
    private const int Height = 400;
    private const int Left = 70;
    private const int Right = 30;
    private const int Top = 50;
    private const int Bottom = 60;
    private const int MostTicks = 6;

    // Dark blue and orange, then green: told apart by those who do not see colours too.
    private static readonly string[] Colours = ["#0072b2", "#d55e00", "#009e73"];

    internal string ToSvg()
    {
        double highest = Lines.SelectMany(line => line.Values).DefaultIfEmpty(0).Max();
        double tick = TickOf(highest);
        double top = Math.Max(tick, Math.Ceiling(highest / tick) * tick);
        var svg = new StringBuilder();
        void Add(FormattableString text) => svg.Append(FormattableString.Invariant(text)).Append('\n');
        double X(int place) => Left + ((Width - Left - Right) * (place + 0.5) / Math.Max(Places.Count, 1));
        double Y(double value) => Height - Bottom - ((Height - Top - Bottom) * value / top);

        Add($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" font-family=\"sans-serif\" font-size=\"13\">");
        Add($"<rect width=\"{Width}\" height=\"{Height}\" fill=\"white\"/>");
        Add($"<text x=\"{Width / 2}\" y=\"24\" text-anchor=\"middle\" font-size=\"15\">{Escape(Title)}</text>");
        for (int i = 0; i * tick <= top * 1.0001; i++)
        {
            double y = Y(i * tick);
            Add($"<line x1=\"{Left}\" y1=\"{y:F1}\" x2=\"{Width - Right}\" y2=\"{y:F1}\" stroke=\"#dddddd\"/>");
            Add($"<text x=\"{Left - 8}\" y=\"{y + 4:F1}\" text-anchor=\"end\">{i * tick}</text>");
        }

        for (int place = 0; place < Places.Count; place++)
        {
            Add($"<text x=\"{X(place):F1}\" y=\"{Height - Bottom + 20}\" text-anchor=\"middle\">{Escape(Places[place])}</text>");
        }

        Add($"<text x=\"{Width / 2}\" y=\"{Height - 14}\" text-anchor=\"middle\">{Escape(Horizontal)}</text>");
        for (int i = 0; i < Lines.Count; i++)
        {
            string colour = Colours[i % Colours.Length];
            string points = string.Join(' ', Lines[i].Values.Select((value, place) => string.Create(CultureInfo.InvariantCulture, $"{X(place):F1},{Y(value):F1}")));
            Add($"<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
            for (int place = 0; place < Lines[i].Values.Count; place++)
            {
                Add($"<circle cx=\"{X(place):F1}\" cy=\"{Y(Lines[i].Values[place]):F1}\" r=\"3.5\" fill=\"{colour}\"/>");
            }

            Add($"<text x=\"{Left + 12}\" y=\"{Top + 12 + (18 * i)}\" fill=\"{colour}\">{Escape(Lines[i].Name)}</text>");
        }

        return svg.Append("</svg>\n").ToString();
    }

    // 1, 2 or 5 times a power of ten, so that there are few.
    private static double TickOf(double highest)
    {
        if (!(highest > 0))
        {
            return 1;
        }

        double power = Math.Pow(10, Math.Floor(Math.Log10(highest / MostTicks)));
        return ((double[])[1, 2, 5, 10]).Select(step => step * power).First(step => highest / step <= MostTicks);
    }

    private static string Escape(string text) => SecurityElement.Escape(text);
}
